"""Precision and recall over sigma with intervals, and the best sigma for a target precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Floats
from genfilt.common.statistics import percentile_interval
from genfilt.join.pairs import TOLERANCE as TOLERANCE  # scores are decided as the join does

GRID = np.round(np.arange(0.0, 1.0, 0.01), 2)
RESAMPLES = 400
TARGET_PRECISION = 0.95  # that a sigma is proposed for unless another one is given
MIN_EXPECTED_PAIRS = 5.0  # below, an estimated precision is that of a handful of pairs
Number = float | None
Interval = tuple[Number, Number]  # low and high of 95 %


@dataclass(frozen=True)
class Curve:
    """Precision and recall at each sigma of GRID with 95 % intervals; None where undefined.

    Attributes:
        sigma: the thresholds, ascending.
        precision, precision_ci, recall, recall_ci: at each sigma.
        corrections: estimated number of corrections, None for judged pairs alone.
    """

    sigma: list[float]
    precision: list[Number]
    precision_ci: list[Interval]
    recall: list[Number]
    recall_ci: list[Interval]
    corrections: list[Number] | None = None


@dataclass(frozen=True)
class BestSigma:
    """The sigma with the largest recall at a target precision; all None where none reaches it."""

    sigma: Number = None
    precision: Number = None
    precision_ci: Interval | None = None
    recall: Number = None
    recall_ci: Interval | None = None
    corrections: Number = None


def best_sigma(curve: Curve, target: float, *, by_lower_bound: bool = False) -> BestSigma:
    """Return the sigma of the largest recall whose precision reaches the target.

    `by_lower_bound` asks it of the low end of the precision's interval.

    Of equal recalls the lowest sigma. Sigmas at which fewer than MIN_EXPECTED_PAIRS corrections
    are estimated are left out. All None where no sigma reaches the target.
    """
    best: int | None = None
    lowest = [low for low, _ in curve.precision_ci]
    reached = lowest if by_lower_bound else curve.precision
    for at, (precision, recall) in enumerate(zip(reached, curve.recall, strict=True)):
        corrections = None if curve.corrections is None else curve.corrections[at]
        if corrections is not None and corrections < MIN_EXPECTED_PAIRS:
            continue
        if precision is None or precision < target or not recall:
            continue
        if best is None or recall > (curve.recall[best] or 0):
            best = at
    if best is None:
        return BestSigma()
    return BestSigma(
        curve.sigma[best],
        curve.precision[best],
        curve.precision_ci[best],
        curve.recall[best],
        curve.recall_ci[best],
        None if curve.corrections is None else curve.corrections[best],
    )


def proposed_sigma(curve: Curve, target: float) -> tuple[BestSigma, bool]:
    """Return the sigma that auto takes, and whether the low end of its precision is the target.

    Where no low end reaches the target, the estimate must; all None where neither does.
    """
    sure = best_sigma(curve, target, by_lower_bound=True)
    return (sure, True) if sure.sigma is not None else (best_sigma(curve, target), False)


def surest_sigma(curve: Curve) -> BestSigma:
    """Return the sigma with the highest estimated precision, all None where none is estimated."""
    known = [each for each in curve.precision if each is not None]
    return best_sigma(curve, max(known)) if known else BestSigma()


def described(best: BestSigma) -> str:
    """Return a sigma with its precision and interval in words."""
    low, high = best.precision_ci or (None, None)
    interval = "" if low is None or high is None else f", 95 %: {low:.2f} to {high:.2f}"
    return f"{best.precision or 0:.3f} at --sigma {best.sigma or 0:g}{interval}"


def numbers(values: Floats) -> list[Number]:
    """Return values as JSON has them: rounded, None where undefined."""
    return [round(float(value), 6) if np.isfinite(value) else None for value in values]


def intervals(samples: Floats, error: tuple[float, float] = (0.0, 0.0)) -> list[Interval]:
    """Return the 95 % interval of each column of bootstrap samples (R, S), a share.

    `error` is added below and above, within 0 and 1.
    """
    ends = [
        (max(low - error[0], 0.0) if error[0] else low, min(high + error[1], 1.0))
        for low, high in map(percentile_interval, samples.T)
    ]
    low, high = (numbers(np.array(side)) for side in zip(*ends, strict=True))
    return list(zip(low, high, strict=True))
