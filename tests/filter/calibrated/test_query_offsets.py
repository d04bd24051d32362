from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from genfilt.filter.calibrated.coverage import Coverage, Evidence, Pairs
from genfilt.filter.calibrated.query_offsets import (
    choose_offsets,
    fit_offsets,
    fold_columns,
    held_out_likelihood,
)
from genfilt.filter.calibrated.title_models import FOLDS

QUERIES, PRODUCTS = 60, 40
CLICKED = 0.5


def drawn(shifts: np.ndarray, seed: int = 0) -> tuple[np.ndarray, Pairs, np.ndarray, Evidence]:
    """Return scores, pairs, folds and evidence of queries whose true scores are shifted."""
    rng = np.random.default_rng(seed)
    q, f = np.divmod(np.arange(QUERIES * PRODUCTS), PRODUCTS)
    score = np.full(len(q), -1.0)
    relevant = rng.random(len(q)) < expit(score + shifts[q])
    clicks = (relevant & (rng.random(len(q)) < CLICKED)).astype(np.int64)
    pairs = Pairs(q, f, np.ones(len(q)), clicks, np.full(len(q), -1, dtype=np.int8))
    share = np.full(QUERIES, CLICKED)
    evidence = Evidence.of(pairs, Coverage(share, share, share, ""), 1e-4)
    return score, pairs, f % FOLDS, evidence


def test_offsets_find_queries_that_differ() -> None:
    shifts = np.where(np.arange(QUERIES) % 2 == 0, 2.0, -2.0)
    score, pairs, fold, evidence = drawn(shifts)
    offsets, strength = choose_offsets(score, pairs, fold, evidence, QUERIES)
    assert strength is not None
    assert offsets.shape == (QUERIES, FOLDS)
    assert np.corrcoef(offsets.mean(axis=1), shifts)[0, 1] > 0.9
    better = held_out_likelihood(score + offsets[pairs.q, fold], pairs, evidence)
    assert better > held_out_likelihood(score, pairs, evidence)


def test_no_offset_is_chosen_where_queries_do_not_differ() -> None:
    score, pairs, fold, evidence = drawn(np.zeros(QUERIES), seed=1)
    offsets, strength = choose_offsets(score, pairs, fold, evidence, QUERIES)
    assert np.abs(offsets).mean() < 0.4
    if strength is None:
        assert not offsets.any()


def test_a_pair_does_not_prove_itself() -> None:
    """The click of a pair changes its query's offsets for the other folds alone."""
    score, pairs, fold, evidence = drawn(np.zeros(QUERIES))
    before = fit_offsets(score, pairs, fold, evidence, QUERIES, 1.0)
    at = int(np.flatnonzero((pairs.q == 3) & (pairs.clicks == 0))[0])
    pairs.clicks[at] = 1
    share = np.full(QUERIES, CLICKED)
    clicked = Evidence.of(pairs, Coverage(share, share, share, ""), 1e-4)
    after = fit_offsets(score, pairs, fold, clicked, QUERIES, 1.0)
    assert after[3, fold[at]] == before[3, fold[at]]
    others = np.arange(FOLDS) != fold[at]
    assert (after[3, others] > before[3, others]).all()
    assert np.array_equal(np.delete(after, 3, axis=0), np.delete(before, 3, axis=0))


def test_an_offset_is_the_maximum_of_the_likelihood() -> None:
    label = np.array([1, 1, 1, 0], dtype=np.int8)
    pairs = Pairs(np.zeros(4, np.int64), np.arange(4), np.ones(4), np.zeros(4, np.int64), label)
    evidence = Evidence.of(pairs, Coverage(*(np.zeros(1),) * 3, ""), 1e-4)
    found = fit_offsets(np.zeros(4), pairs, np.zeros(4, np.int64), evidence, 1, 1e-9)
    assert found[0, 1] == pytest.approx(float(logit(0.75)), abs=1e-3)
    assert found[0, 0] == 0  # nothing is left without fold 0


def test_the_products_side_picks_the_offset_of_the_fold() -> None:
    fold = np.array([4, 0, 2])
    offsets = np.arange(10.0).reshape(2, FOLDS)
    assert (offsets @ fold_columns(fold).T).tolist() == offsets[:, fold].tolist()
