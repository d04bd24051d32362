from __future__ import annotations

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import (
    BETWEEN_BOUNDS,
    Evidence,
    FewClicks,
    Pairs,
    estimate_coverage,
)
from genfilt.filter.calibrated.fit import fit_calibration
from tests.filter.calibrated.world import (
    World,
)


def test_the_share_of_relevant_pairs_is_found_from_clicks_and_labels(world: World) -> None:
    rate = world.truth[:, world.train].mean()
    for clicked, labelled in ((0.5, 0.4), (0.2, 0.2), (0.7, 0.3)):
        fit = fit_calibration(world.training(world.log(clicked, labelled)))
        assert fit.calibration.base_rate == pytest.approx(rate, rel=0.15)
        assert "Chapman" in fit.calibration.method


def test_clicks_alone_give_a_range_that_has_the_share(world: World) -> None:
    rate = world.truth[:, world.train].mean()
    for clicked in (0.7, 0.35):
        log = world.log(clicked=clicked, labelled=0.0)
        fit = fit_calibration(world.training(log.only(log.label < 0)))
        assert fit.calibration.method == BETWEEN_BOUNDS
        low, high = fit.calibration.base_rate_range
        assert low < rate < high
        assert low <= fit.calibration.base_rate <= high
        assert 0.6 * rate < fit.calibration.base_rate < 1.5 * rate


def test_labels_give_a_range_by_their_sampling_error(world: World) -> None:
    rate = world.truth[:, world.train].mean()
    widths = []
    for share in (0.2, 0.5):
        fit = fit_calibration(world.training(world.log(clicked=share, labelled=share)))
        low, high = fit.calibration.base_rate_range
        assert low < rate < high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_a_given_total_is_kept() -> None:
    q = np.array([0, 0, 1, 1, 1, 1])
    clicks, nothing = np.array([5, 4, 1, 1, 1, 2]), np.full(6, -1, np.int8)
    pairs = Pairs(q, np.arange(6), np.full(6, 1.0), clicks, nothing)
    found = estimate_coverage(pairs, 2, base_rate=10 / 6, size=np.array([2.0, 90.0]))
    assert found.relevant.sum() == pytest.approx(10)


def test_a_given_base_rate_is_kept(world: World) -> None:
    rate = float(world.truth[:, world.train].mean())
    fit = fit_calibration(world.training(world.log(), base_rate=rate))
    assert fit.calibration.base_rate == pytest.approx(rate, rel=0.15)
    assert "given" in fit.calibration.method


def test_coverage_counts_what_two_looks_share() -> None:
    rng = np.random.default_rng(0)
    looked = rng.random((2, 40, 25)) < np.array([0.6, 0.5])[:, None, None]
    q, f = np.nonzero(looked.any(axis=0))
    label = np.where(looked[1][q, f], 1, -1).astype(np.int8)
    pairs = Pairs(q, f, np.ones(len(q)), looked[0][q, f].astype(np.int64), label)
    coverage = estimate_coverage(pairs, 40)
    assert coverage.relevant.sum() == pytest.approx(1000, rel=0.05)
    assert coverage.clicked.mean() == pytest.approx(0.6, abs=0.05)
    assert coverage.known.mean() == pytest.approx(0.8, abs=0.05)


def test_labels_decide_and_unknown_pairs_are_weighed() -> None:
    label = np.array([1, 0, -1, -1], dtype=np.int8)
    pairs = Pairs(np.zeros(4, np.int64), np.arange(4), np.ones(4), np.array([0, 5, 1, 0]), label)
    coverage = estimate_coverage(pairs, 1)
    posterior = Evidence.of(pairs, coverage, 0.01).posterior(np.full(4, 0.5))
    assert posterior[0] == 1
    assert posterior[1] == 0
    assert posterior[2] > 0.5 > posterior[3]


def test_few_clicks_are_allotted_by_the_sizes_of_queries() -> None:
    """Forty queries with one click each; the first half is expected to have fewer products."""
    pairs = Pairs(
        np.repeat(np.arange(40), 2),
        np.arange(80),
        np.tile([1.0, 50.0], 40),
        np.tile([1, 0], 40),
        np.full(80, -1, np.int8),
    )
    few = FewClicks(np.repeat([2.0, 10.0], 20), 1.0)
    found = estimate_coverage(pairs, 40, 440 / pairs.weight.sum(), few=few)
    assert found.relevant.sum() == pytest.approx(440)
    assert found.clicked[0] == pytest.approx(1 / 3)
    assert found.clicked[-1] == pytest.approx(1 / 19)
    alike = estimate_coverage(pairs, 40, 440 / pairs.weight.sum())
    assert alike.clicked == pytest.approx(1 / 11)
