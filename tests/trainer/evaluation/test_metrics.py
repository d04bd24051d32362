"""Measures against scikit-learn and naive loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_auc_score

from genfilt.common.statistics import Roc, auc, bootstrap, weighted_mean
from trainer.evaluation.metrics import image_weight, precision_recall, random_recall, recall_at


def pairs(seed: int, size: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(size) < 0.3
    positive[:2] = True, False
    return rng.integers(0, levels, size) / levels + 0.1 * positive, positive


@pytest.mark.parametrize(("size", "levels"), [(2, 1), (7, 2), (500, 5), (1000, 10**6)])
def test_auc_is_sklearns(size: int, levels: int) -> None:
    scores, positive = pairs(size, size, levels)
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_weighted_auc_is_the_auc_of_repeated_pairs() -> None:
    scores, positive = pairs(3, 200, 20)
    times = np.random.default_rng(4).integers(0, 4, 200)
    repeated = auc(np.repeat(scores, times), np.repeat(positive, times))
    assert auc(scores, positive, times.astype(float)) == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("positive", [[], [True, True], [False, False]])
def test_auc_without_both_classes_is_undefined(positive: list[bool]) -> None:
    truth = np.array(positive, dtype=bool)
    assert np.isnan(auc(np.arange(len(truth), dtype=float), truth))


def test_constant_scores_are_chance() -> None:
    assert auc(np.zeros(9), np.arange(9) < 4) == 0.5
    assert recall_at(np.zeros((3, 101)), 5) == pytest.approx([5 / 101] * 3)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_recall_at_is_the_mean_over_random_orders(k: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (2, columns)).astype(float)
    expected = []
    for row in scores:
        above, level = (row > row[0]).sum(), (row == row[0]).sum()
        places = above + np.arange(1, level + 1)
        expected.append(np.mean(places <= k))
    assert recall_at(scores, k) == pytest.approx(expected)


def test_padding_never_counts() -> None:
    scores = np.array([[0.5, 0.9, -np.inf, -np.inf]])
    assert recall_at(scores, 1)[0] == 0
    assert recall_at(scores, 2)[0] == 1


def test_random_recall_is_k_over_size() -> None:
    assert random_recall(np.array([101, 101]), 10) == pytest.approx(10 / 101)
    assert random_recall(np.array([4, 101]), 5) == pytest.approx((1 + 5 / 101) / 2)
    assert np.isnan(random_recall(np.array([], dtype=np.int64), 5))


@pytest.mark.parametrize(("size", "levels"), [(2, 1), (50, 4), (800, 10**6)])
def test_precision_recall_is_sklearns(size: int, levels: int) -> None:
    scores, positive = pairs(size + 1, size, levels)
    precision, recall, threshold = precision_recall(scores, positive)
    expected = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(precision, expected[0][-2::-1])
    np.testing.assert_allclose(recall, expected[1][-2::-1])
    np.testing.assert_allclose(threshold, expected[2][::-1])


def test_precision_recall_of_nothing_is_empty() -> None:
    assert [len(part) for part in precision_recall(np.empty(0), np.empty(0, bool))] == [0, 0, 0]


def test_image_weight_counts_positive_parts_alone() -> None:
    weight = image_weight(np.array([0.3, 0.5, -0.2, -1.0]), np.array([0.1, -0.5, 0.2, -1.0]))
    assert weight[:3] == pytest.approx([0.75, 1.0, 0.0])
    assert np.isnan(weight[3])


def test_bootstrap_draws_whole_groups() -> None:
    # Ten groups of a hundred equal items: as uncertain as ten items, not as a thousand.
    values = np.repeat(np.arange(10.0), 100)
    groups = np.repeat(np.arange(10), 100) * 7
    low, high = bootstrap(weighted_mean(values), groups, samples=2000, seed=1)
    spread = np.std(np.arange(10)) / np.sqrt(10)
    assert low == pytest.approx(4.5 - 1.96 * spread, abs=0.25)
    assert high == pytest.approx(4.5 + 1.96 * spread, abs=0.25)


def test_bootstrap_of_an_auc_holds_it_and_repeats_by_seed() -> None:
    scores, positive = pairs(9, 400, 1000)
    roc = Roc(scores, positive)
    interval = bootstrap(roc.auc, np.arange(400) // 4, seed=5)
    assert interval[0] < roc.auc() < interval[1]
    assert interval == bootstrap(roc.auc, np.arange(400) // 4, seed=5)
    assert np.isnan(bootstrap(roc.auc, np.empty(0, np.int64))).all()
