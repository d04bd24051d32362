from __future__ import annotations

import numpy as np
import pytest

from genfilt.common.statistics import (
    auc,
    bootstrap,
    percentile_interval,
    resample_groups,
    weighted_mean,
    wilson_interval,
)


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_the_share_of_ordered_pairs(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(60), 1)
    positive = rng.random(60) < 0.4
    weights = rng.integers(0, 3, 60).astype(float) if weighted else np.ones(60)
    won = total = 0.0
    for a in np.flatnonzero(positive):
        for b in np.flatnonzero(~positive):
            pair = weights[a] * weights[b]
            total += pair
            won += pair * ((scores[a] > scores[b]) + 0.5 * (scores[a] == scores[b]))
    assert auc(scores, positive, weights if weighted else None) == pytest.approx(won / total)


def test_auc_of_one_class_or_of_nothing_is_undefined() -> None:
    assert np.isnan(auc(np.ones(3), np.ones(3, dtype=bool)))
    assert np.isnan(auc(np.zeros(0), np.zeros(0, dtype=bool)))


def test_groups_are_drawn_whole() -> None:
    groups = np.array([7, 3, 7, 3, 9])
    drawn = resample_groups(groups, 50, seed=1)
    assert drawn.shape == (50, 5)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 1] == drawn[:, 3]).all()
    assert (drawn[:, 0] + drawn[:, 1] + drawn[:, 4] == 3).all()
    assert resample_groups(groups[:0], 2).shape == (2, 0)


def test_the_bootstrap_covers_the_mean_and_is_wider_for_grouped_data() -> None:
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(1, 1, 50), 4)
    grouped = bootstrap(weighted_mean(values), np.repeat(np.arange(50), 4))
    alone = bootstrap(weighted_mean(values), np.arange(200))
    assert grouped[0] < values.mean() < grouped[1]
    assert grouped[1] - grouped[0] > 1.5 * (alone[1] - alone[0])
    assert np.isnan(bootstrap(weighted_mean(values[:0]), np.zeros(0, dtype=np.int64))).all()


def test_undefined_draws_do_not_count() -> None:
    values = np.array([np.nan, *np.linspace(0, 1, 101)])
    assert percentile_interval(values) == pytest.approx((0.025, 0.975))
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()


def test_wilsons_interval() -> None:
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(1.0, 3) == pytest.approx((0.4385, 1.0), abs=1e-4)
    assert wilson_interval(0.3, 0) == (0.0, 1.0)
