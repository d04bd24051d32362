"""Measures against the whole truth, and false negatives in batches, against naive loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.trainer.ablation.effect.test_arms import clicks_alone, truth_of
from trainer.ablation.effect.arms import arm_pairs
from trainer.ablation.effect.negatives import ClickedPairs
from trainer.ablation.effect.truth import PairSet, load_truth, pair_metrics
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database


@pytest.mark.parametrize("seed", range(3))
def test_pair_metrics_are_those_of_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(7, 30))
    relevant, left_out = rng.random((7, 30)) < 0.2, rng.random((7, 30)) < 0.1
    relevant[3] = False
    found = pair_metrics(scores, PairSet(np.arange(30, dtype=np.int32), relevant, left_out))
    kept = ~left_out
    assert found.auc == pytest.approx(roc_auc_score(relevant[kept], scores[kept]))
    recalls = []
    for row in range(7):
        listed = sorted(np.flatnonzero(kept[row]), key=lambda p, row=row: -scores[row, p])
        wanted = {p for p in listed if relevant[row, p]}
        if wanted:
            recalls.append(len(wanted & set(listed[:10])) / min(10, len(wanted)))
    assert found.recall == pytest.approx(np.mean(recalls))


def test_nothing_relevant_is_undefined() -> None:
    none = np.zeros((2, 3), dtype=bool)
    found = pair_metrics(np.ones((2, 3)), PairSet(np.arange(3, dtype=np.int32), none, none))
    assert (found.auc, found.recall) == (None, None)


def test_warm_pairs_leave_verdicts_out_and_cold_ones_are_of_another_split(tmp_path: Path) -> None:
    db, truth = clicks_alone(tmp_path / "shop"), truth_of(tmp_path / "truth.duckdb")
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        read = load_truth(connection, truth, "val")
    ids, queries = catalogue.product_ids.to_pylist(), catalogue.queries.to_pylist()
    for pairs, copies in ((read.warm, "012"), (read.cold, "3")):
        assert {ids[p][-1] for p in pairs.products} == set(copies)
        for row, q in enumerate(read.queries):
            color, shape = queries[q].split()
            for column, p in enumerate(pairs.products):
                name = ids[p]
                own = name.startswith(f"{color}-{shape}-")
                assert pairs.relevant[row, column] == own
                assert pairs.left_out[row, column] == (own and name.endswith("-0"))


def test_false_negatives_are_those_of_random_batches(tmp_path: Path) -> None:
    db, truth = clicks_alone(tmp_path / "shop"), truth_of(tmp_path / "truth.duckdb")
    pairs = arm_pairs(db, truth, None)
    with open_database(db) as connection:
        clicked = ClickedPairs.read(connection, load_catalogue(connection))
        read = load_truth(connection, truth, "val")
    relevant = read.warm.relevant
    assert clicked.known_share(relevant) == pytest.approx(1 / 3)  # one of three train products
    # Rows are clicks on each query's first copy, so no other row's product is relevant to it.
    assert clicked.false_negatives(relevant, clicked.corrected(pairs["none"]), 8) == 0
    rng = np.random.default_rng(0)
    made = ClickedPairs(
        clicked.queries,
        clicked.products,
        rng.integers(0, len(clicked.queries), 60),
        rng.integers(0, len(clicked.products), 60),
        clicked.feature,
        clicked.known,
    )
    for key in ("none", "found", "oracle"):
        corrected = made.corrected(pairs[key])
        wrong = relevant & ~clicked.known & ~corrected
        drawn = [wrong[made.query[a], made.product[b]] for a in range(60) for b in range(60)]
        expected = np.mean(drawn) * 7
        assert made.false_negatives(relevant, corrected, 8) == pytest.approx(expected)
    assert made.false_negatives(relevant, made.corrected(pairs["oracle"]), 8) == 0
