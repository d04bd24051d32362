"""Measures of a ranking, in plain NumPy: AUC, Recall@k, precision and recall, and intervals.

Equal scores count as what random order would give on average, so a model that answers one number
for everything scores 0.5 in AUC and chance in Recall@k.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
        """Return the AUC with weights (N,) in the order of the pairs as they were given."""
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        groups = int(self.group[-1]) + 1 if len(self.group) else 0
        of_positive = np.bincount(self.group, weight * self.positive, minlength=groups)
        of_negative = np.bincount(self.group, weight * ~self.positive, minlength=groups)
        below = np.cumsum(of_negative) - of_negative / 2
        pairs = of_positive.sum() * of_negative.sum()
        return float(of_positive @ below / pairs) if pairs else float("nan")


def auc_by_group(scores: Floats, positive: Bools, groups: NDArray[np.int64]) -> Floats:
    """Return (N,) the AUC of each item's own group (query), nan where it lacks a class.

    Their mean is the group AUC: it asks whether each query's products are in order, where the AUC
    over all pairs also asks that scores mean the same for every query.
    """
    values = np.full(len(scores), np.nan)
    order = np.argsort(groups, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        values[own] = auc(scores[own], positive[own])
    return values


def recall_at(scores: Floats, k: int) -> Floats:
    """Return (N,) the chance that column 0 of each row of scores (N, C) is among its top k.

    Rows of fewer columns are padded with -inf. Ties stand in random order, hence a chance.
    """
    target = scores[:, :1]
    above = (scores > target).sum(1)
    level = (scores == target).sum(1)
    chance: Floats = np.clip(k - above, 0, level) / level
    return chance


def random_recall(sizes: NDArray[np.int64], k: int) -> float:
    """Return the mean Recall@k of a random order over candidate lists of sizes (N,)."""
    return float(np.minimum(k / sizes, 1.0).mean()) if len(sizes) else float("nan")


def precision_recall(scores: Floats, positive: Bools) -> tuple[Floats, Floats, Floats]:
    """Return (precision, recall, threshold), each (T,), by falling distinct threshold.

    Point t takes every pair whose score is at least threshold[t].
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    last = np.flatnonzero(np.diff(ranked, append=np.nan) != 0)
    found = hits[last].astype(np.float64)
    return found / (last + 1), found / max(1, int(positive.sum())), ranked[last]


def image_weight(image: Floats, title: Floats) -> Floats:
    """Return (N,) the share of the picture in M: max(s(M,I), 0) over both sides' sum (Table 6).

    Where neither side has a positive part no share is defined, and the answer is nan.
    """
    picture, text = np.maximum(image, 0), np.maximum(title, 0)
    total = picture + text
    share: Floats = np.divide(picture, total, out=np.full(len(total), np.nan), where=total > 0)
    return share


def bootstrap(
    statistic: Callable[[Floats], float],
    groups: NDArray[np.int64],
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic when whole groups (queries) are drawn anew.

    groups (N,) says whose each item is; statistic takes weights (N,): how often each item's group
    was drawn. Percentiles of `samples` draws; (nan, nan) where every draw is undefined.
    """
    _, place = np.unique(groups, return_inverse=True)
    size = int(place.max(initial=-1)) + 1
    if size == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=samples).astype(np.float64)
    values = np.array([statistic(times[place]) for times in drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def weighted_mean(values: Floats) -> Callable[[Floats], float]:
    """Return the statistic of `bootstrap` that is the mean of values (N,)."""

    def mean(weights: Floats) -> float:
        total = weights.sum()
        return float(values @ weights / total) if total else float("nan")

    return mean
