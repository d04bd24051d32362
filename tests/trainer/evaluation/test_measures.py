"""Measures against naive loops, and what they are called."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.trainer.shop import Shop, draw
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.comparison import gaps, summary
from trainer.evaluation.encode import EncodedBenchmark, image_weights
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.legend import ABBREVIATIONS, legend
from trainer.evaluation.measures import Estimate, ScoreMetrics, measure
from trainer.evaluation.query_words import held_out_queries
from trainer.evaluation.report import flat_rows, markdown
from trainer.evaluation.scorers import NumberedVectors


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
    found = image_weights(encoded, small.categories)
    by_name: dict[str, list[float]] = {"a": [], "b": []}
    for p, name in small.categories.items():
        m, i, t = (side.values[p // 3] for side in (encoded.fused, encoded.image, encoded.title))
        image, title = max(float(m @ i), 0), max(float(m @ t), 0)
        if image + title:
            by_name[name].append(image / (image + title))
    for name, weights in by_name.items():
        expected = pytest.approx(np.mean(weights), abs=1e-6) if weights else None
        assert found[name] == expected


def test_an_untrained_copys_columns_are_no_part_of_the_images_weight(
    encoded: EncodedBenchmark, small: Benchmark
) -> None:
    def beside(side: NumberedVectors, share: float, seed: int) -> NumberedVectors:
        copy = np.random.default_rng(seed).normal(size=(len(side.values), 5))
        columns = [(1 - share) ** 0.5 * side.values, share * copy]
        return NumberedVectors(side.numbers, np.concatenate(columns, axis=1))

    width = encoded.fused.values.shape[1]
    with_copy = replace(
        encoded,
        fused=beside(encoded.fused, 0.4, 1),
        title=beside(encoded.title, 0.4, 1),
        image=beside(encoded.image, 0.0, 2),
        learned=width,
    )
    found, wanted = (image_weights(one, small.categories) for one in (with_copy, encoded))
    assert found == {name: pytest.approx(weight, abs=1e-6) for name, weight in wanted.items()}
    assert image_weights(replace(with_copy, learned=None), small.categories) != wanted


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


def test_labels_of_one_kind_so_few_that_intervals_are_empty_are_called_few(
    encoded: EncodedBenchmark, small: Benchmark
) -> None:
    positive = np.zeros(len(small.positive), bool)
    positive[0] = True
    few = replace(small, positive=positive)
    own = measure(lambda queries, _: np.zeros(len(queries)), few)
    assert own.auc.interval == (0.5, 0.5)  # equal scores: the interval looks exact
    warning = summary(own, [], few)[-1]
    assert warning.startswith(f"{len(positive)} labels are few, 1 of them positive")


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
