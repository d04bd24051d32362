"""Measures of a ranking, in plain NumPy: AUC by query, Recall@k, precision and recall.

Equal scores count as what random order would give on average, so a model that gives one number
to everything scores 0.5 in AUC and chance in Recall@k.
"""

from __future__ import annotations

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.common.statistics import auc


def auc_by_group(scores: Floats, positive: Bools, groups: Rows) -> Floats:
    """Return (N,) the AUC of each item's own group (query), nan where it lacks a class.

    Their mean is the group AUC. It depends on the order of products within each query alone; the
    AUC over all pairs also depends on whether scores are comparable between queries.
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


def random_recall(sizes: Rows, k: int) -> float:
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

    The share is undefined where neither side has a positive part, and the value is nan.
    """
    picture, text = np.maximum(image, 0), np.maximum(title, 0)
    total = picture + text
    share: Floats = np.divide(picture, total, out=np.full(len(total), np.nan), where=total > 0)
    return share
