"""The frozen copy beside the trained encoder: its share of the score, and that it never learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genfilt.common.errors import UsageError
from tests.trainer.shop import toy_shop
from trainer.config import MINILM, ModelConfig, preset
from trainer.model.parameters import parameter_counts
from trainer.model.query_life import QueryLife
from trainer.serving.relevance_model import RelevanceModel, load
from trainer.training import checkpoint
from trainer.training.fit import fit

SHARE, OF_SEEN = 0.4, 0.1
SEEN = ["a red shoe of wool"]
SIZES = ModelConfig(bert=MINILM, bert_layers=1, embed_dim=16, pooling="mean")


@pytest.fixture(scope="module")
def pair() -> tuple[QueryLife, QueryLife]:
    """One model without a copy and one with, of the same weights."""
    torch.manual_seed(0)
    plain = QueryLife.build(SIZES).eval()
    torch.manual_seed(0)
    shares = {"untrained_share": SHARE, "untrained_share_of_seen": OF_SEEN}
    beside = QueryLife.build(replace(SIZES, **shares))
    beside.remember_words(SEEN)
    return plain, beside.eval()


@torch.inference_mode()
def vectors(model: QueryLife) -> tuple[torch.Tensor, ...]:
    tokens = model.tokenize(["red shoe", "a blue coat of wool"])
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    image = model.encode_images(torch.rand(2, 3, 32, 32, generator=torch.manual_seed(1)))
    return (
        model.encode_queries(ids, mask).embedding,
        model.encode_titles(ids, mask).embedding,
        image.embedding,
        model.fuse(ids, mask, image.states).embedding,
    )


def test_scores_are_both_cosines_by_their_shares(pair: tuple[QueryLife, QueryLife]) -> None:
    from sentence_transformers import SentenceTransformer

    from trainer.model.encoder import bert_folder

    plain, beside = (vectors(model) for model in pair)
    texts = ["red shoe", "a blue coat of wool"]
    known = SentenceTransformer(bert_folder(MINILM), device="cpu").encode(texts)
    cosine = torch.from_numpy(np.asarray(known) @ np.asarray(known).T)
    query, *products = beside
    share = torch.tensor([[OF_SEEN], [SHARE]])  # "red shoe" has seen words alone
    length = (share**2 + (1 - share) ** 2).sqrt()
    for own, other in zip((plain[1], plain[3]), (products[0], products[2]), strict=True):
        wanted = ((1 - share) * plain[0] @ own.T + share * cosine) / length * 0.5**0.5
        torch.testing.assert_close(query @ other.T, wanted, atol=1e-5, rtol=0)
    wanted = (1 - share) / length * (plain[0] @ plain[2].T)
    torch.testing.assert_close(query @ products[1].T, wanted, atol=1e-5, rtol=0)
    for side in beside:
        assert side.shape == (2, pair[1].width)
        torch.testing.assert_close(side.norm(dim=1), torch.ones(2))


def test_training_does_without_the_copy(pair: tuple[QueryLife, QueryLife]) -> None:
    plain, beside = pair
    try:
        trained = vectors(beside.train())
    finally:
        beside.eval()
    for own, other in zip(vectors(plain), trained, strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)


def test_the_copy_is_counted_apart_and_out_of_the_checkpoint(
    pair: tuple[QueryLife, QueryLife],
) -> None:
    plain, beside = pair
    assert parameter_counts(plain)["trained"] == parameter_counts(beside)["trained"]
    assert parameter_counts(beside)["untrained copy, frozen"] > 20e6
    more = checkpoint.stored(beside).keys() - checkpoint.stored(plain).keys()
    assert more == {"seen_words.marks"}


def test_training_leaves_the_copy_as_it_was_and_an_export_holds_it(tmp_path: Path) -> None:
    base = replace(preset("tiny", 2), epochs=1, batch_size=12)
    config = base.replaced({}, {**vars(SIZES), "untrained_share": SHARE})
    fit(config, toy_shop(tmp_path), tmp_path / "run")
    trained = RelevanceModel.from_run(tmp_path / "run")
    fresh = QueryLife.build(config.model)
    assert trained.model.untrained is not None
    assert fresh.untrained is not None
    for name, value in fresh.untrained.state_dict().items():
        torch.testing.assert_close(trained.model.untrained.state_dict()[name], value)
    trained.save_pretrained(tmp_path / "model")
    read = load(tmp_path / "model")
    assert read.width == 16 + 384
    assert trained.model.seen_words is not None
    assert read.model.seen_words is not None
    assert 0 < trained.model.seen_words.marks.sum() == read.model.seen_words.marks.sum()
    np.testing.assert_allclose(
        read.encode_query(["red shoe"]), trained.encode_query(["red shoe"]), atol=1e-6
    )


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match=f"untrained_share is {share}; give a number"):
        replace(SIZES, untrained_share=share)


def test_a_copy_needs_a_checkpoint() -> None:
    with pytest.raises(UsageError, match="untrained_share is 0.5 without a checkpoint"):
        ModelConfig(untrained_share=0.5)
