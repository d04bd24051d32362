"""The table in other trainers' hands: numbers, masks, and losses beside the libraries' own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor
from torch.nn import functional

from genfilt.common.errors import UsageError, UserError
from tests.trainer.shop import Shop, draw
from trainer.config import ModelConfig
from trainer.integrations.positives import MaskedClipLoss, MaskedRankingLoss, Positives, with_own
from trainer.losses.contrastive import contrastive, separate_positives
from trainer.model.encoder import load_tokenizer

OWN = np.eye(4, dtype=np.bool_)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Jackets: q0 clicked a, is corrected to c; b is a's title in another colour, e is in val."""
    pictures = [draw(tmp_path / f"{n}.jpg", "red", "ring", n) for n in range(5)]
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.product("a", "jacket", pictures[0], texts=("jacket", "a black jacket"))
        shop.product("b", "jacket", pictures[1], texts=("jacket", "a blue jacket"))
        shop.product("c", "coat", pictures[2], texts=("coat", "a black coat"))
        shop.product("d", "mug", pictures[3], texts=("mug", "a mug"))
        shop.product("e", "cup", pictures[4], split="val", texts=("cup", "a cup"))
        q = shop.query("q0", "black jacket")
        shop.query("q1", "mug")
        shop.query("q2", "blue jacket")
        shop.click("q0", "a")
        shop.click("q1", "d")
        shop.click("q1", "e", split="val")
        shop.click("q2", "b")
        shop.correct(q, shop.feature("coat", "a black coat"))
        shop.match(shop.feature("jacket", "a black jacket"), shop.feature("coat", "a black coat"))
    return tmp_path / "shop.duckdb"


def test_numbers_by_id_and_by_text(db: Path) -> None:
    positives = Positives(db)
    ids = positives.numbers(["q1", "q0", "q9", "q0"], ["d", "a", "c", "zzz"])
    assert ids.tolist() == [[1, 3], [0, 0], [-1, 2], [0, -1]]
    # Of the two jackets each query means the one that it clicked; a stranger's is the first.
    texts = positives.numbers(
        ["blue jacket", "black jacket", "mug", "what"],
        ["jacket", "jacket", "jacket", "coat"],
        "text",
    )
    assert texts.tolist() == [[2, 1], [0, 0], [1, 0], [-1, 2]]
    assert positives.numbers([], []).shape == (0, 2)
    with pytest.raises(UsageError, match="2 queries and 1 products"):
        positives.numbers(["q0", "q1"], ["a"])
    with pytest.raises(UsageError, match="by must be id or text"):
        positives.numbers(["q0"], ["a"], "name")  # type: ignore[arg-type]


def test_the_mask_is_the_tables(db: Path) -> None:
    q = np.array([0, 1, 2, -1], dtype=np.int32)
    p = np.array([0, 1, 2, 3, 4, -1], dtype=np.int32)
    positives = Positives(db)
    fused = positives.query_mask(q, p, "fused")
    assert np.argwhere(fused).tolist() == [[0, 0], [0, 2], [1, 3], [2, 1]]
    title = positives.query_mask(q, p)
    assert np.argwhere(title).tolist() == [[0, 0], [0, 1], [0, 2], [1, 3], [2, 0], [2, 1]]
    known = Positives(db, genfilt=False).query_mask(q, p, "image")
    assert np.argwhere(known).tolist() == [[0, 0], [1, 3], [2, 1]]


def test_pictures_and_titles_match_by_the_table(db: Path) -> None:
    p = np.array([0, 1, 2, 3, -1, -1], dtype=np.int32)
    mask = Positives(db).image_title_mask(p)
    others = mask & ~np.eye(6, dtype=np.bool_)
    assert np.argwhere(others).tolist() == [[0, 1], [0, 2], [1, 0]]
    assert mask.diagonal().all()


def test_clicks_are_the_train_rows(db: Path) -> None:
    clicks = Positives(db).clicks()
    assert list(zip(clicks.queries, clicks.titles, strict=True)) == [
        ("black jacket", "jacket"),
        ("mug", "mug"),
        ("blue jacket", "jacket"),
    ]
    assert clicks.numbers.tolist() == [[0, 0], [1, 3], [2, 1]]
    assert [Path(image or "").name for image in clicks.images] == ["0.jpg", "3.jpg", "1.jpg"]


def small_model() -> SentenceTransformer:
    torch.manual_seed(0)
    tokens = StaticEmbedding(load_tokenizer(ModelConfig()), embedding_dim=16)
    return SentenceTransformer(modules=[tokens], device="cpu")


def features(model: SentenceTransformer, *columns: list[str]) -> list[dict[str, Tensor]]:
    return [model.preprocess(column) for column in columns]


QUERIES = ["black jacket", "mug", "blue jacket", "unheard of"]
TITLES = ["jacket", "mug", "jacket", "coat"]
LABELS = torch.tensor([[0, 0], [1, 3], [2, 1], [-1, -1]])
LOSSES = {True: separate_positives, False: contrastive}


def test_without_a_table_the_loss_is_the_librarys(db: Path) -> None:
    model = small_model()
    columns = features(model, QUERIES, TITLES)
    strangers = torch.full((4, 2), -1)
    masked = MaskedRankingLoss(model, Positives(db), temperature=0.1)
    theirs = MultipleNegativesRankingLoss(model, scale=10.0)
    expected = theirs([dict(part) for part in columns], torch.empty(0))
    found = masked([dict(part) for part in columns], strangers)
    assert torch.allclose(found, expected, atol=1e-6)
    gradients = [
        torch.autograd.grad(loss, list(model.parameters()))[0].to_dense()
        for loss in (found, expected)
    ]
    assert torch.allclose(*gradients, atol=1e-7)


@pytest.mark.parametrize("separate", [True, False])
def test_with_a_table_every_positive_of_the_batch_counts(db: Path, separate: bool) -> None:
    model, positives = small_model(), Positives(db)
    loss = MaskedRankingLoss(model, positives, temperature=0.1, separate=separate)
    q, t = (
        functional.normalize(model(part)["sentence_embedding"], dim=-1)
        for part in features(model, QUERIES, TITLES)
    )
    wanted = torch.eye(4, dtype=torch.bool)
    wanted[0, 2] = wanted[2, 0] = True  # equal titles
    found = loss(features(model, QUERIES, TITLES), LABELS)
    assert torch.allclose(found, LOSSES[separate](q, t, wanted, 0.1))
    assert not torch.allclose(found, LOSSES[not separate](q, t, wanted, 0.1))
    kept = {"temperature": 0.1, "positives": "shop.duckdb", "separate": separate}
    assert loss.get_config_dict() == kept


def test_dropped_corrections_leave_the_denominator_and_pull_nothing(db: Path) -> None:
    model = small_model()
    loss = MaskedRankingLoss(model, Positives(db, drop=True), temperature=0.1)
    titles, labels = ["jacket", "coat"], torch.tensor([[0, 0], [1, 2]])  # q0 is corrected to coat
    q, t = (
        functional.normalize(model(part)["sentence_embedding"], dim=-1)
        for part in features(model, QUERIES[:2], titles)
    )
    own = torch.eye(2, dtype=torch.bool)
    ignored = torch.tensor([[False, True], [False, False]])
    found = loss(features(model, QUERIES[:2], titles), labels)
    assert torch.allclose(found, contrastive(q, t, own, 0.1, ignored))
    assert not torch.allclose(found, contrastive(q, t, own, 0.1))
    assert Positives(db).ignored_mask(*np.zeros((2, 2), np.int32)) is None


def test_a_mined_negative_that_the_table_knows_better_is_a_positive(db: Path) -> None:
    model = small_model()
    loss = MaskedRankingLoss(model, Positives(db), temperature=0.1)
    mined = ["coat", "cup"]
    labels = torch.tensor([[0, 0, 2], [1, 3, 4]])  # q0's mined coat is corrected; cup is not
    embedded = [
        functional.normalize(model(part)["sentence_embedding"], dim=-1)
        for part in features(model, QUERIES[:2], TITLES[:2], mined)
    ]
    wanted = torch.tensor([[True, False, True, False], [False, True, False, False]])
    expected = separate_positives(embedded[0], torch.cat(embedded[1:]), wanted, 0.1)
    found = loss(features(model, QUERIES[:2], TITLES[:2], mined), labels)
    assert torch.allclose(found, expected)
    with pytest.raises(UserError, match="must hold 3 numbers a row"):
        loss(features(model, QUERIES[:2], TITLES[:2], mined), labels[:, :2])


def test_the_librarys_trainer_hands_the_numbers_to_the_loss(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, positives = small_model(), Positives(db)
    clicks = positives.clicks()
    rows = Dataset.from_dict(
        {"query": clicks.queries, "title": clicks.titles, "label": clicks.numbers.tolist()}
    )
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"),
        max_steps=8,
        per_device_train_batch_size=3,
        learning_rate=0.05,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=True,
    )
    loss = MaskedRankingLoss(model, positives, temperature=0.1)
    asked: list[list[int]] = []
    look_up = positives.query_mask

    def seen(queries: np.ndarray, products: np.ndarray) -> np.ndarray:
        asked.append(sorted(zip(queries.tolist(), products.tolist(), strict=True)))
        return look_up(queries, products)

    monkeypatch.setattr(positives, "query_mask", seen)
    before = loss(features(model, QUERIES[:3], TITLES[:3]), LABELS[:3]).item()
    SentenceTransformerTrainer(model, arguments, train_dataset=rows, loss=loss).train()
    after = loss(features(model, QUERIES[:3], TITLES[:3]), LABELS[:3]).item()
    assert asked == [[(0, 0), (1, 3), (2, 1)]] * 10
    assert after < before


@pytest.mark.parametrize("scale", [1.0, 14.3])
def test_clip_loss_with_own_pairs_is_clips(scale: float) -> None:
    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(4, 8), dim=-1) for _ in range(2))
    logits = scale * images @ texts.T
    own = torch.arange(4)
    expected = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    loss = MaskedClipLoss()
    assert torch.allclose(loss(images, texts, torch.tensor(scale), OWN), expected)
    nothing = np.zeros((4, 4), dtype=np.bool_)
    named = loss(images, texts, scale, nothing, output_dict=True)
    assert isinstance(named, dict)
    assert torch.allclose(named["contrastive_loss"], expected)


def test_clip_loss_takes_pictures_as_rows_and_teaches_the_temperature() -> None:
    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(4, 8), dim=-1) for _ in range(2))
    mask = OWN.copy()
    mask[0, 2] = True
    log_scale = torch.tensor(2.0, requires_grad=True)
    loss = MaskedClipLoss()(images, texts, log_scale.exp(), mask)
    assert isinstance(loss, Tensor)
    positive = torch.from_numpy(mask)
    tau = 1 / log_scale.detach().exp()
    there = contrastive(images, texts, positive, tau)
    back = contrastive(texts, images, positive.T, tau)
    assert torch.allclose(loss.detach(), (there + back) / 2)
    loss.backward()
    assert log_scale.grad is not None
    assert float(log_scale.grad) != 0


def test_a_rows_own_product_is_positive_whatever_the_table_says() -> None:
    mask = np.zeros((2, 4), dtype=np.bool_)
    mask[0, 3] = True
    assert with_own(mask).tolist() == [[True, False, False, True], [False, True, False, False]]
    assert not mask[1, 1]
