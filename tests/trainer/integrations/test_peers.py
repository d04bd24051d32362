"""The benchmark of other libraries' trainers: every arm runs, differs as it should, and is kept."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.trainer.shop import COLORS, SHAPES, Shop, draw

FOLDER = Path(__file__).parents[3] / "benchmarks"
BATCH = 24


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, ModuleType]]:
    names = ("gf1", "peer_shops", "peer_sentences", "peer_clip", "peers")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield {name: importlib.import_module(name) for name in names}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two queries a colour and shape, each of which clicked one product and is corrected to both.

    Beside it lies truth.duckdb, which holds each query's products of train and val.
    """
    folder = tmp_path_factory.mktemp("peers")
    relevant: list[tuple[str, str]] = []
    with Shop(folder / "shop.duckdb") as shop:
        for color in COLORS:
            for shape in SHAPES:
                relevant += add(shop, folder, color, shape)
        for query_id, product_id in relevant:  # of val: one right, one of another shape
            if product_id.endswith("2"):
                color, shape = product_id.split("-")[:2]
                other = SHAPES[SHAPES.index(shape) - 1]
                shop.label(query_id, product_id, 1, "val")
                shop.label(query_id, f"{color}-{other}-2", 0, "val")
    with duckdb.connect(str(folder / "truth.duckdb")) as truth:
        truth.execute("CREATE TABLE relevant (query_id VARCHAR, product_id VARCHAR)")
        truth.executemany("INSERT INTO relevant VALUES (?, ?)", relevant)
    return folder / "shop.duckdb"


def add(shop: Shop, folder: Path, color: str, shape: str) -> list[tuple[str, str]]:
    """Add the products and queries of a colour and shape; return their relevant pairs."""
    name = f"{color}-{shape}"
    feature_texts = [(f"{shape} {copy}", f"a {color} {shape} {copy}") for copy in range(3)]
    for copy, texts in enumerate(feature_texts):
        shop.product(
            f"{name}-{copy}",
            f"{color} {shape} {copy}",
            draw(folder / f"{name}-{copy}.jpg", color, shape, seed=copy),
            split="val" if copy == 2 else "train",
            texts=texts,
        )
    for copy, query in enumerate((f"{color} {shape}", f"{shape} in {color}")):
        q = shop.query(f"q-{name}-{copy}", query)
        shop.click(f"q-{name}-{copy}", f"{name}-{copy}")
        for texts in feature_texts[:2]:
            shop.correct(q, shop.feature(*texts))
    return [(f"q-{name}-{copy}", f"{name}-{n}") for copy in range(2) for n in range(3)]


def words(db: Path, out: Path, *more: str) -> list[str]:
    given = ["--db", str(db), "--out", str(out), "--epochs", "1", "--clip-epochs", "1"]
    return [*given, "--batch-size", str(BATCH), *more]


def test_every_arm_is_trained_once_measured_and_kept(
    peers: dict[str, ModuleType], db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = peers["peers"]
    truth = ("--truth", str(db.with_name("truth.duckdb")))
    module.main(words(db, tmp_path, *truth))
    text = (tmp_path / "report.md").read_text("utf-8")
    arms = [*module.SENTENCE_ARMS, *module.CLIP_ARMS]
    found = {}
    for arm in arms:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {arm} |"))
        assert len(row.split("|")) == 10
        path = tmp_path / "shop" / f"{arm.replace(' ', '-')}.json"
        found[arm] = json.loads(path.read_text("utf-8"))["figures"]
        assert set(found[arm]) == set(module.FIGURES)
        assert all(0 <= value <= 1 for value in found[arm].values())
    assert found["mnrl"] != found["untrained"]
    # A killed run goes on: what is missing is trained, and nothing else.
    trained: list[str] = []
    for name in ("train_sentences", "train_clip"):
        train = getattr(module, name)

        def noted(shop: object, arm: str, recipe: object, train: object = train) -> object:
            trained.append(arm)
            return train(shop, arm, recipe)  # type: ignore[operator]

        monkeypatch.setattr(module, name, noted)
    (tmp_path / "shop" / "mnrl.json").unlink()
    module.main(words(db, tmp_path, *truth))
    assert trained == ["mnrl"]
    assert (
        json.loads((tmp_path / "shop" / "mnrl.json").read_text("utf-8"))["figures"] == found["mnrl"]
    )
    with pytest.raises(SystemExit, match="other options"):
        module.main(words(db, tmp_path, *truth, "--learning-rate", "1e-3"))


def test_without_a_truth_labels_are_measured(
    peers: dict[str, ModuleType], db: Path, tmp_path: Path
) -> None:
    peers["peers"].main(words(db, tmp_path, "--arm", "untrained"))
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "labels auc" in text
    assert "cold auc" not in text


def test_rows_are_the_clicks_and_the_new_corrections(
    peers: dict[str, ModuleType], db: Path, tmp_path: Path
) -> None:
    shop = peers["peer_shops"].PeerShop.read(db, None, tmp_path, "val")
    rows = peers["peer_sentences"].sentence_rows
    clicks = {("red ring", "red ring 0"), ("ring in red", "red ring 1")}
    plain = rows(shop, "mnrl")
    pairs = set(zip(plain["query"], plain["title"], strict=True))
    assert len(plain) == len(pairs) == 24
    assert clicks <= pairs
    more = rows(shop, "rows")
    added = set(zip(more["query"], more["title"], strict=True)) - pairs
    assert len(more) == 48
    assert {("red ring", "red ring 1"), ("ring in red", "red ring 0")} <= added
    assert len(added) == 24


def test_the_masks_change_the_losses_of_a_batch(
    peers: dict[str, ModuleType], db: Path, tmp_path: Path
) -> None:
    """Two queries that are each other's corrections: alone in a batch, nothing is left to push."""
    module, clips = peers["peer_sentences"], peers["peer_clip"]
    shop = peers["peer_shops"].PeerShop.read(db, None, tmp_path, "val")
    model = module.minilm()
    of_query = {q: row for row, q in enumerate(shop.clicks.queries)}
    both = [of_query["red ring"], of_query["ring in red"]]
    numbers = shop.clicks.numbers[both]

    def texts(rows: list[int]) -> list[list[str]]:
        return [[side[row] for row in rows] for side in (shop.clicks.queries, shop.clicks.titles)]

    def loss(arm: str, rows: list[int] = both) -> float:
        features = [model.preprocess(part) for part in texts(rows)]
        labels = torch.tensor(shop.clicks.numbers[rows])
        with torch.no_grad():
            return float(module.sentence_loss(model, shop, arm)(features, labels))

    assert loss("drop") == pytest.approx(0, abs=1e-6)
    assert loss("verdicts") == pytest.approx(loss("mnrl"), rel=1e-4)
    assert loss("mnrl") > 0.01
    query, title = (
        torch.tensor(model.encode(side, normalize_embeddings=True)) for side in texts(both)
    )
    shares = (query @ title.T / module.TEMPERATURE).log_softmax(dim=1)
    assert loss("correct") == pytest.approx(-float(shares.mean()), rel=1e-3)  # all four are pulled
    assert loss("mnrl") == pytest.approx(-float(shares.diagonal().mean()), rel=1e-3)
    all_rows = list(range(len(of_query)))
    assert loss("gist", all_rows) > loss("gist titles", all_rows)  # queries are pushed apart too
    assert loss("gist titles", all_rows) < loss("mnrl", all_rows)  # some titles are left out

    torch.manual_seed(0)
    images, queries = (functional.normalize(torch.randn(2, 8), dim=-1) for _ in range(2))
    clip = {
        arm: float(clips.ClipArm(shop, arm)(images, queries, torch.tensor(5.0), numbers))
        for arm in clips.CLIP_ARMS
    }
    assert clip["clip drop"] == pytest.approx(0, abs=1e-6)
    assert clip["clip verdicts"] == pytest.approx(clip["clip"], rel=1e-5)
    logits = 5 * images @ queries.T
    shares = [-functional.log_softmax(side, dim=1).mean() for side in (logits, logits.T)]
    assert clip["clip correct"] == pytest.approx(float(sum(shares)) / 2, rel=1e-5)


def test_gaps_are_paired_by_shop(peers: dict[str, ModuleType]) -> None:
    module = peers["peers"]
    recipe = module.Recipe(1, 1e-4)
    levels = {"a": 0.1, "b": 0.5, "c": 0.9}
    results = [
        module.Result(shop, arm, recipe, "val", "db", 1.0, {"cold auc": level + above})
        for shop, level in levels.items()
        for arm, above in (("mnrl", 0.0), ("correct", 0.05 + level / 100))
    ]
    mean = module.gap(results, "correct", "mnrl", "cold auc")
    assert mean.value == pytest.approx(0.055)
    assert mean.half == pytest.approx(4.3027 * 0.004 / np.sqrt(3), rel=1e-3)
    assert module.conclusion(mean) == "holds"
    assert module.conclusion(module.gap(results, "mnrl", "correct", "cold auc")) == "contradicted"
    assert module.gap(results, "correct", "gist", "cold auc") is None
