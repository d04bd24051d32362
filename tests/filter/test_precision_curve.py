from __future__ import annotations

import numpy as np

from genfilt.filter.precision_curve import (
    Curve,
    best_sigma,
    described,
    intervals,
    proposed_sigma,
    surest_sigma,
)


def curve(precision: list[float], low: list[float]) -> Curve:
    nothing = [(None, None)] * len(low)
    return Curve(
        sigma=[0.5, 0.8, 0.9],
        precision=list(precision),
        precision_ci=[(each, 1.0) for each in low],
        recall=[0.9, 0.6, 0.2],
        recall_ci=nothing,
        corrections=[90.0, 60.0, 20.0],
    )


def test_auto_takes_the_sigma_whose_lower_bound_reaches_the_target() -> None:
    found, sure = proposed_sigma(curve([0.94, 0.97, 0.99], [0.90, 0.92, 0.96]), 0.95)
    assert (found.sigma, sure) == (0.9, True)
    assert best_sigma(curve([0.94, 0.97, 0.99], [0.90, 0.92, 0.96]), 0.95).sigma == 0.8


def test_auto_takes_the_estimate_where_no_lower_bound_reaches_the_target() -> None:
    found, sure = proposed_sigma(curve([0.94, 0.97, 0.99], [0.80, 0.82, 0.86]), 0.95)
    assert (found.sigma, sure) == (0.8, False)


def test_where_no_estimate_reaches_the_target_the_best_is_named() -> None:
    low = curve([0.6, 0.8, 0.7], [0.5, 0.7, 0.6])
    assert proposed_sigma(low, 0.95)[0].sigma is None
    assert described(surest_sigma(low)) == "0.800 at --sigma 0.8, 95 %: 0.70 to 1.00"


def test_intervals_are_widened_within_0_and_1() -> None:
    samples = np.array([[0.5, 0.95, np.nan], [0.5, 0.95, np.nan]])
    assert intervals(samples, (0.2, 0.1)) == [(0.3, 0.6), (0.75, 1.0), (None, None)]
    assert intervals(samples)[0] == (0.5, 0.5)
