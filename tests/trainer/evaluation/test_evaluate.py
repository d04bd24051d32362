"""Evaluation on a hand-made shop: the numbers against naive loops, the files that it writes."""

import errno
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from genfilt.common.errors import UserError
from tests.trainer.hostile_pictures import png_header, save_turned
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.config import preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.comparison import gaps, summary
from trainer.evaluation.encode import EncodedBenchmark, encode, image_weights
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.legend import ABBREVIATIONS, legend
from trainer.evaluation.measures import Estimate, ScoreMetrics, measure
from trainer.evaluation.query_words import held_out_queries
from trainer.evaluation.report import flat_rows, markdown
from trainer.evaluation.scorers import NumberedVectors
from trainer.model.query_life import QueryLife
from trainer.training.checkpoint import load_model, save_stage

ROWS = ("Q->T", "Q->I", "Q->T+Q->I", "Q->M")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    model = QueryLife.build(preset("tiny", 1).model)
    save_stage(folder / "run" / "stage1", model, preset("tiny", 1))
    for cross in model.encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)
    save_stage(folder / "run" / "stage2", model, preset("tiny", 2))
    return folder / "run", toy_shop(folder / "shop")


def unit(rng: np.random.Generator, size: int) -> NumberedVectors:
    values = rng.normal(size=(size, 6)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return NumberedVectors(np.arange(size, dtype=np.int32) * 3, values)


@pytest.fixture
def encoded() -> EncodedBenchmark:
    rng = np.random.default_rng(0)
    return EncodedBenchmark(unit(rng, 9), unit(rng, 40), unit(rng, 40), unit(rng, 40), 0, {})


@pytest.fixture
def small() -> Benchmark:
    rng = np.random.default_rng(1)
    candidates = np.stack([rng.permutation(40)[:31] for _ in range(20)]).astype(np.int32) * 3
    candidates[4:, 20:] = -1
    return Benchmark(
        split="val",
        query=rng.integers(0, 9, 80).astype(np.int32) * 3,
        product=rng.integers(0, 40, 80).astype(np.int32) * 3,
        positive=rng.random(80) < 0.4,
        candidate_query=rng.integers(0, 9, 20).astype(np.int32) * 3,
        candidates=candidates,
        source="click",
        categories={0: "a", 3: "b", 6: "a"},
    )


def test_measures_are_those_of_naive_loops(encoded: EncodedBenchmark, small: Benchmark) -> None:
    for name, scorer in encoded.scorers().items():
        sides = {
            "Q->T": [encoded.title],
            "Q->I": [encoded.image],
            "Q->T+Q->I": [encoded.title, encoded.image],
            "Q->M": [encoded.fused],
        }[name]

        def naive(q: int, p: int, sides: list[NumberedVectors] = sides) -> float:
            query = encoded.query.values[q // 3].astype(float)
            return sum(float(query @ side.values[p // 3].astype(float)) for side in sides)

        pairs = zip(small.query.tolist(), small.product.tolist(), strict=True)
        scores = [naive(q, p) for q, p in pairs]
        found = measure(scorer, small).to_dict()
        assert found["auc"] == pytest.approx(roc_auc_score(small.positive, scores))
        assert found["auc_ci"][0] < found["auc"] < found["auc_ci"][1]
        both = [
            (q, own)
            for q in sorted(set(small.query.tolist()))
            if 0 < small.positive[own := small.query == q].mean() < 1
        ]
        by_query = [roc_auc_score(small.positive[own], np.array(scores)[own]) for _, own in both]
        labels = [own.sum() for _, own in both]
        assert found["gauc"] == pytest.approx(np.average(by_query, weights=labels))
        for k in (5, 10, 20):
            hits = []
            for q, row in zip(small.candidate_query.tolist(), small.candidates, strict=True):
                ranked = sorted((p for p in row.tolist() if p >= 0), key=lambda p: -naive(q, p))
                hits.append(row[0] in ranked[:k])
            assert found[f"recall@{k}"] == pytest.approx(np.mean(hits))


def test_a_split_without_lists_or_labels_says_none(
    encoded: EncodedBenchmark, small: Benchmark
) -> None:
    scorer = encoded.scorers()["Q->M"]
    none = np.empty(0, np.int32)
    unlabelled = replace(small, query=none, product=none, positive=np.empty(0, bool))
    bare = measure(scorer, unlabelled).to_dict()
    assert bare["auc"] is None
    assert bare["auc_ci"] == [None, None]
    assert bare["gauc"] is None
    assert bare["recall@5"] is not None
    unlisted = replace(small, candidate_query=none, candidates=np.empty((0, 101), np.int32))
    assert measure(scorer, unlisted).recall[5].value is None
    assert measure(scorer, unlisted).auc.value is not None


def test_measures_survive_json(encoded: EncodedBenchmark, small: Benchmark) -> None:
    found = measure(encoded.scorers()["Q->M"], small)
    plain = json.loads(json.dumps(found.to_dict()))
    assert ScoreMetrics.from_dict(plain) == found
    assert found.figure("recall@10") == plain["recall@10"]
    with pytest.raises(ValueError, match="an interval must be two numbers"):
        ScoreMetrics.from_dict(plain | {"auc_ci": None})


def test_image_weights_by_category(encoded: EncodedBenchmark, small: Benchmark) -> None:
    found = image_weights(encoded, small)
    by_name: dict[str, list[float]] = {"a": [], "b": []}
    for p, name in small.categories.items():
        m, i, t = (side.values[p // 3] for side in (encoded.fused, encoded.image, encoded.title))
        image, title = max(float(m @ i), 0), max(float(m @ t), 0)
        if image + title:
            by_name[name].append(image / (image + title))
    for name, weights in by_name.items():
        expected = pytest.approx(np.mean(weights), abs=1e-6) if weights else None
        assert found[name] == expected


def test_evaluate_takes_the_highest_stage_and_writes_its_files(run: tuple[Path, Path]) -> None:
    out, db = run
    measured = evaluate(out, db)
    metrics: dict[str, Any] = measured.to_dict()
    assert json.loads((out / "metrics.json").read_text()) == metrics
    more = {"untrained", "query_words", "unreadable_pictures", "summary"}
    assert set(metrics) == {*ROWS, "image_weight", "candidates", "split", "config", *more}
    assert metrics["config"]["stage"] == 2
    assert metrics["split"] == "val"
    assert set(metrics["image_weight"]) == {"ring", "bar", "cross"}
    shown = metrics["candidates"]
    assert (shown["labels"], shown["positive_labels"], shown["lists"]) == (24, 12, 12)
    assert (shown["relevant"], shown["white_pictures"]) == ("label", 0)
    for name in ROWS:
        low, high = metrics[name]["auc_ci"]
        assert 0 <= low <= metrics[name]["auc"] <= high <= 1
    assert metrics["Q->T"]["auc"] == 0.5  # the labels' titles differ in nothing
    for kind in ("svg", "png"):
        assert (out / f"precision_recall.{kind}").stat().st_size > 5000
    assert (out / "metrics.md").read_text() == markdown(measured)


def test_evaluation_repeats_to_the_bit(run: tuple[Path, Path]) -> None:
    out, db = run
    assert evaluate(out, db) == evaluate(out, db)
    (stored,) = (db.parent / "candidates").iterdir()
    assert stored.name.startswith("val-")


def test_ids_file_names_and_category_decide_no_score(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    out, db = run
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        for name, colour, category in (("zz", "red", "x"), ("aa", "blue", "y")):
            folder = tmp_path / name
            folder.mkdir()
            picture = draw(folder / f"{name}.jpg", colour, "ring", seed=2)
            shop.product(name, "ring model 2", picture, split="val", category=category)
        shop.query("other", "red ring")
        shop.label("other", "zz", 1, "val")
        shop.label("other", "aa", 0, "val")
    model = load_model(out / "stage2")
    seen = {}
    for place in (db, path):
        with open_database(place) as connection:
            catalogue = load_catalogue(connection)
            benchmark = load_benchmark(connection, tmp_path / "lists", "val")
        ids = catalogue.product_ids.to_pylist()
        queries = catalogue.queries.to_pylist()
        scorer = encode(model, catalogue, benchmark).scorers()["Q->M"]
        q = np.array([queries.index("red ring")] * 2, dtype=np.int32)
        names = ("zz", "aa") if place == path else ("red-ring-2", "blue-ring-2")
        p = np.array([ids.index(name) for name in names], dtype=np.int32)
        seen[place] = scorer(q, p)
    np.testing.assert_allclose(seen[db], seen[path], atol=1e-5)
    assert seen[db][0] != seen[db][1]


def test_an_unreadable_picture_counts_and_keeps_its_place(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    out, _ = run
    db = toy_shop(tmp_path / "shop")
    (tmp_path / "shop" / "red-ring-2.jpg").write_bytes(b"no picture")
    (tmp_path / "shop" / "red-bar-2.jpg").unlink()
    shutil.copytree(out, tmp_path / "run")
    metrics = evaluate(tmp_path / "run", db)
    assert metrics.candidates.white_pictures == 2
    assert sorted(metrics.unreadable_pictures) == ["red-bar-2", "red-ring-2"]
    assert metrics.candidates.labels == 24


def test_a_run_without_a_stage_is_one_sentence(run: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no trained stage"):
        evaluate(tmp_path, run[1])


def test_markdown_has_a_row_for_each_score(run: tuple[Path, Path]) -> None:
    text = markdown(evaluate(*run))
    for name in (*ROWS, "random order", "ring"):
        assert f"\n| {name} |" in text
    assert "nan" not in text


def test_untrained_scores_stand_in_every_table(run: tuple[Path, Path]) -> None:
    metrics = evaluate(*run)
    names = ("BM25", "untrained all-MiniLM-L6-v2")
    assert tuple(metrics.untrained) == names
    for group in metrics.query_words.values():
        assert set(group.scores) == {*ROWS, *names}
    text = markdown(metrics)
    for name in names:
        assert text.count(f"\n| {name} |") == 2  # all queries, and those in seen words
    assert "in held out words" not in text  # the shop has no such query


def test_the_summary_names_the_models_score_and_where_it_stands(run: tuple[Path, Path]) -> None:
    metrics = evaluate(*run)
    first, warning = metrics.summary
    auc = metrics.scores["Q->M"].auc.value
    assert first.startswith(f"Q->M is the model's score: AUC {auc:.3f} (")
    assert "on 24 labels of split val, 12 of them positive" in first
    for name in ("Q->T", "Q->I", "Q->T+Q->I", *metrics.untrained):
        assert f"{name} by " in first
    assert warning.startswith("24 labels are few")


def test_gaps_are_paired_and_take_their_side(encoded: EncodedBenchmark, small: Benchmark) -> None:
    pairs = {
        (q, p): y
        for q, p, y in zip(
            small.query.tolist(), small.product.tolist(), small.positive.tolist(), strict=True
        )
    }

    def right(queries: np.ndarray, products: np.ndarray) -> np.ndarray:
        both = zip(queries.tolist(), products.tolist(), strict=True)
        return np.array([float(pairs.get(pair, False)) for pair in both])

    def wrong(queries: np.ndarray, products: np.ndarray) -> np.ndarray:
        return -right(queries, products)

    noise = encoded.scorers()["Q->T"]
    found = {gap.name: gap for gap in gaps({"Q->M": noise, "a": right, "b": wrong}, small)}
    assert (found["a"].side, found["b"].side) == ("below", "above")
    assert gaps({"Q->M": noise, "same": noise}, small)[0].side == "level"
    own = measure(noise, small)
    assert found["a"].value == pytest.approx(own.auc.value - measure(right, small).auc.value)
    sentence = summary(own, list(found.values()), small)[0]
    assert re.search(r"it is above b by \+.*; below a by -", sentence)


def test_without_both_kinds_of_label_the_summary_says_so(
    encoded: EncodedBenchmark, small: Benchmark
) -> None:
    one_kind = replace(small, positive=np.ones(len(small.positive), bool))
    scorer = encoded.scorers()["Q->M"]
    (sentence,) = summary(measure(scorer, one_kind), [], one_kind)
    assert "no AUC is defined" in sentence


def test_held_out_words_are_those_that_no_train_text_has(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        picture = draw(tmp_path / "a.jpg", "red", "ring")
        shop.product("a", "Linen shirt", picture)
        shop.product("b", "mohair shirt", picture, split="val")
        texts = ("wide SHIRT", "linen", "mohair", "wide mohair", "narrow")
        numbers = [shop.query(f"q{n}", text) for n, text in enumerate(texts)]
        shop.click("q0", "a")
        shop.label("q4", "a", 0, "val")  # a val label teaches no word
    with open_database(tmp_path / "shop.duckdb") as connection:
        found = held_out_queries(connection)
    assert found.tolist() == numbers[2:]


def test_a_picture_of_a_billion_pixels_is_unreadable_and_a_turned_one_upright(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    huge, turned, upright = (tmp_path / name for name in ("huge.png", "turned.jpg", "up.jpg"))
    huge.write_bytes(png_header(100_000, 100_000))
    with Image.open(draw(tmp_path / "bar.jpg", "red", "bar")) as picture:
        picture.save(upright, quality=95)
    save_turned(upright, turned)
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "red bar")
        for name, path in (("huge", huge), ("turned", turned), ("up", upright)):
            shop.product(name, f"bar {name}", path, split="val")
            shop.label("q", name, 1, "val")
    with open_database(tmp_path / "shop.duckdb") as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, tmp_path / "lists", "val")
    encoded = encode(load_model(run[0] / "stage2"), catalogue, benchmark)
    ids = catalogue.product_ids.to_pylist()
    assert [ids[p] for p in encoded.unreadable] == ["huge"]
    assert "pixels" in next(iter(encoded.unreadable.values()))
    both = encoded.image.at(np.array([ids.index("turned"), ids.index("up")], dtype=np.int32))
    np.testing.assert_allclose(both[0], both[1], atol=2e-2)  # JPEG loses a little anew


def test_metrics_are_written_whole(
    run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, db = run
    shutil.copytree(out, tmp_path / "run")
    evaluate(tmp_path / "run", db)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    written: list[str] = []

    def full(path: Path, *_: object, **__: object) -> int:
        written.append(path.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"metrics.json cannot be written"):
        evaluate(tmp_path / "run", db)
    assert written != ["metrics.json"]
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_a_legend_explains_each_abbreviation_once() -> None:
    lines = legend(["ITC", "itc", "qmx", "recall@5", "recall@10", "gauc", "words"])
    assert [line.split(":")[0] for line in lines] == ["itc", "qmx", "recall@k", "gauc"]
    for name in ("itc", "itm", "qic", "qtc", "qmc", "qmm", "qmx", "gauc"):
        assert len(ABBREVIATIONS[name]) > 20


def test_undefined_figures_and_intervals_are_not_words(run: tuple[Path, Path]) -> None:
    metrics = evaluate(*run)
    undefined = ScoreMetrics(
        Estimate(None), Estimate(None), {k: Estimate(None) for k in (5, 10, 20)}
    )
    bare = replace(metrics, untrained={"BM25": undefined})
    rows = [row for row in flat_rows(bare) if row["score"] == "BM25"]
    assert rows[0]["auc_ci"] == ""
    for text in (markdown(bare), str(rows)):
        assert "none to none" not in text.lower()
        assert "n/a to n/a" not in text
    assert "\n| BM25 | n/a | n/a |" in markdown(bare)
