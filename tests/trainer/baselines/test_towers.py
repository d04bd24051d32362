"""CLIP and BLIP-2, by folder and from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from genfilt.common.errors import UserError
from tests.trainer.baselines.small_checkpoints import material_of
from tests.trainer.shop import Shop, draw
from trainer.baselines.baseline import (
    SCRATCH,
    Baseline,
    Material,
)
from trainer.baselines.blip2 import Blip2
from trainer.baselines.clip import Clip
from trainer.baselines.cross_encoder import CrossEncoder
from trainer.baselines.pixels import SMALL_SIDE, RememberedPictures, small_pictures
from trainer.baselines.text_baselines import Bm25, SentenceEmbeddings
from trainer.baselines.towers import relevant_pairs
from trainer.config import MINILM, ModelConfig
from trainer.database.catalogue import Rows
from trainer.evaluation.measures import measure
from trainer.model.encoder import load_tokenizer


def test_clip_by_folder_scores_as_the_library(material: Material, clip_folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(clip_folder)
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    scorers = Clip(str(clip_folder)).scores(material).scorers
    assert set(scorers) == {"Q->T", "Q->I", "Q->T+Q->I", "Q->M"}
    q, p = (numbers[:6] for numbers in material.pairs)
    catalogue = material.catalogue
    tokens = load_tokenizer(ModelConfig())(
        catalogue.texts(catalogue.queries, q), padding=True, return_tensors="pt"
    )
    pictures = [Image.open(catalogue.images[int(n)].as_py()).convert("RGB") for n in p]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        made = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=pixels,
        )
    expected = (made.logits_per_text / model.logit_scale.exp()).diagonal()
    np.testing.assert_allclose(scorers["Q->I"](q, p), expected.detach().numpy(), atol=1e-5)


def test_blip2_by_folder_scores_as_the_library(material: Material, blip2_folder: Path) -> None:
    from transformers import Blip2ForImageTextRetrieval, BlipImageProcessorPil

    model = Blip2ForImageTextRetrieval.from_pretrained(blip2_folder)
    processor = BlipImageProcessorPil.from_pretrained(blip2_folder)
    scorers = Blip2(str(blip2_folder)).scores(material).scorers
    q, p = (numbers[:6] for numbers in material.pairs)
    catalogue = material.catalogue
    queries = catalogue.texts(catalogue.queries, q)
    titles = catalogue.texts(catalogue.titles, p)
    pictures = [Image.open(catalogue.images[int(n)].as_py()).convert("RGB") for n in p]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    both = [f"{query} {title}" for query, title in zip(queries, titles, strict=True)]
    for name, texts in {"Q->I": queries, "Q->M": both}.items():
        tokens = load_tokenizer(ModelConfig())(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            made = model(
                pixel_values=pixels,
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
            )
        expected = made.logits_per_image.diagonal().numpy()
        np.testing.assert_allclose(scorers[name](q, p), expected, atol=1e-5)
    assert np.ptp(scorers["Q->M"](q, p)) > 1e-3


def test_fine_tuning_teaches_blip2_the_labels(explicit: Material) -> None:
    scorers = Blip2(tuned=True, first_epochs=1).scores(explicit).scorers
    assert set(scorers) == {"Q->T", "Q->I", "Q->T+Q->I", "Q->M"}
    aucs = [measure(scorer, explicit.benchmark).auc.value or 0 for scorer in scorers.values()]
    assert min(aucs) > 0.9


def test_fine_tuning_pulls_relevant_products_of_the_batch(explicit: Material) -> None:
    rows = explicit.train
    mask = relevant_pairs(rows)
    products = np.unique(rows.product)
    found = mask(rows.query, products)
    relevant = set(zip(rows.query[rows.positive], rows.product[rows.positive], strict=True))
    for q, row in zip(rows.query, found, strict=True):
        assert row.tolist() == [(q, p) in relevant for p in products]


def test_vectors_of_a_query_give_its_scores(explicit: Material) -> None:
    found = Blip2(first_epochs=1).scores(explicit)
    assert found.vectors is not None
    assert found.parameters is not None
    q, p = (numbers[:8] for numbers in explicit.pairs)
    p = p[q == q[0]]
    vectors = found.vectors(int(q[0]), p)
    for side, score in (("title", "Q->T"), ("image", "Q->I")):
        expected = found.scorers[score](np.full_like(p, q[0]), p)
        np.testing.assert_allclose(vectors[side] @ vectors["query"], expected, atol=1e-5)


def test_a_named_vision_tower_is_not_tuned(blip2_folder: Path) -> None:
    from trainer.baselines.blip2 import _named

    towers = _named(str(blip2_folder))
    assert not any(w.requires_grad for w in towers.model.vision_model.parameters())
    assert any(w.requires_grad for w in towers.model.qformer.parameters())


def test_who_began_from_scratch_says_so() -> None:
    scratch: list[Baseline] = [Clip(), Blip2(), Blip2(tuned=True), CrossEncoder(ModelConfig())]
    named: list[Baseline] = [
        Bm25(),
        SentenceEmbeddings(),
        Clip("x"),
        Blip2("x"),
        CrossEncoder(ModelConfig(bert=MINILM)),
    ]
    assert all(SCRATCH in baseline.name for baseline in scratch)
    assert not any(SCRATCH in baseline.name for baseline in named)
    assert len({baseline.name for baseline in scratch + named}) == 9


@pytest.mark.parametrize("baseline", [Clip, Blip2, SentenceEmbeddings])
def test_a_model_that_is_not_there_is_one_sentence(
    baseline: type[Clip | Blip2 | SentenceEmbeddings], material: Material, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="can be read from"):
        baseline(str(tmp_path / "none")).scores(material)


def test_without_train_rows_it_says_what_is_missing(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "ring")
        shop.product("a", "ring", draw(tmp_path / "a.jpg", "red", "ring"), split="val")
        shop.label("q", "a", 1, "val")
    with pytest.raises(UserError, match="no label of the train split"):
        material_of(tmp_path / "shop.duckdb")


def test_titles_of_one_text_are_read_once(material: Material) -> None:
    catalogue = material.catalogue
    read: list[tuple[str, str]] = []

    def score(queries: list[str], titles: list[str]):  # type: ignore[no-untyped-def]
        read.extend(zip(queries, titles, strict=True))
        yield np.array([float(len(q) * 100 + len(t)) for q, t in read])

    from trainer.baselines.baseline import by_text

    scorer = by_text(score, material)
    assert len(read) == len(set(read)) < len(material.pairs[0])
    queries, products = material.pairs
    texts = zip(
        catalogue.texts(catalogue.queries, queries),
        catalogue.texts(catalogue.titles, products),
        strict=True,
    )
    np.testing.assert_array_equal(
        scorer(queries, products), [len(q) * 100 + len(t) for q, t in texts]
    )


def test_an_empty_benchmark_gives_empty_scores(material: Material) -> None:
    none = np.empty(0, np.int32)
    nothing = Rows(none, none, np.empty(0, bool))
    empty = replace(
        material,
        benchmark=replace(
            material.benchmark,
            query=none,
            product=none,
            positive=np.empty(0, bool),
            candidate_query=none,
            candidates=np.empty((0, 101), np.int32),
        ),
        train=nothing,
    )
    assert len(Bm25().scores(empty).scorers["Q->T"](none, none)) == 0


def test_a_picture_is_read_from_its_file_once(tmp_path: Path) -> None:
    path = draw(tmp_path / "one.jpg", "red", "ring", seed=0)
    source = RememberedPictures(pa.chunked_array([[str(path)]]), small_pictures)
    first = source.read(0)
    assert first.shape == (3, SMALL_SIDE, SMALL_SIDE)
    path.unlink()
    assert source.read(0) is first
    source = RememberedPictures(pa.chunked_array([[str(path)]]), small_pictures)
    with pytest.raises(ValueError, match="No such file"):
        source.read(0)
