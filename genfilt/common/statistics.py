"""Statistics of judged pairs: AUC, bootstrap intervals over queries, Wilson's interval.

Equal scores count as a random order would on average, so a model that gives one number to
everything scores 0.5 in AUC.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows

LEVEL = 0.95  # of every interval
PERCENTILES = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


def auc(scores: Floats, positive: Bools, weights: Floats | None = None) -> float:
    """Return the area under the ROC curve of scores (N,) for truth (N,), ties counted half.

    weights (N,) says how often each pair counts; nan where a class has no weight.
    """
    return Roc(scores, positive).auc(weights)


class Roc:
    """Pairs sorted once by score, so that the AUC under many weightings is cheap."""

    def __init__(self, scores: Floats, positive: Bools) -> None:
        self.order = np.argsort(scores, kind="stable")
        ranked = scores[self.order]
        self.positive = positive[self.order]
        self.group = np.cumsum(np.diff(ranked, prepend=ranked[:1]) != 0)

    def auc(self, weights: Floats | None = None) -> float:
        """Return the AUC with weights (N,) in the order in which the pairs were given."""
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        groups = int(self.group[-1]) + 1 if len(self.group) else 0
        of_positive = np.bincount(self.group, weight * self.positive, minlength=groups)
        of_negative = np.bincount(self.group, weight * ~self.positive, minlength=groups)
        below = np.cumsum(of_negative) - of_negative / 2
        pairs = of_positive.sum() * of_negative.sum()
        return float(of_positive @ below / pairs) if pairs else float("nan")


def resample_groups(groups: Rows, samples: int, seed: int = 0) -> Floats:
    """Return (samples, N): how often each item counts when whole groups are drawn anew.

    Args:
        groups: (N,) the group (query) of each item.
        samples: the number of draws with replacement.
        seed: of the draws.
    """
    _, place = np.unique(groups, return_inverse=True)
    size = int(place.max(initial=-1)) + 1
    if size == 0:
        return np.zeros((samples, 0))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=samples)
    times: Floats = drawn.astype(np.float64)[:, place]
    return times


def percentile_interval(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of bootstrap values (S,), without those that are undefined (nan)."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, PERCENTILES)
    return float(low), float(high)


def bootstrap(
    statistic: Callable[[Floats], float], groups: Rows, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic when whole groups (queries) are drawn anew.

    Args:
        statistic: takes weights (N,), how often each item's group was drawn.
        groups: (N,) the group of each item.
        samples: the number of draws.
        seed: of the draws.

    Returns:
        (low, high), both nan where every draw is undefined.
    """
    if not len(groups):
        return float("nan"), float("nan")
    draws = resample_groups(groups, samples, seed)
    return percentile_interval(np.array([statistic(weights) for weights in draws]))


def weighted_mean(values: Floats) -> Callable[[Floats], float]:
    """Return the statistic of `bootstrap` that is the mean of values (N,)."""

    def mean(weights: Floats) -> float:
        total = weights.sum()
        return float(values @ weights / total) if total else float("nan")

    return mean


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share observed in n trials; n may be an effective size.

    (0, 1) where n is 0.
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    return max(0.0, middle - half), min(1.0, middle + half)
