"""Per-query offsets of the score, shrunk to 0, from the query's own clicks and labels.

Queries differ in what their words leave open: of pairs that one intercept scores alike, most are
relevant to a query whose clicks fall on such pairs, and few to one whose clicks do not. An offset
for a pair comes from the pairs of its query with titles of other folds, never from the pair itself.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.filter.calibrated.coverage import Evidence, Pairs
from genfilt.filter.calibrated.title_models import FOLDS

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the normal prior, 1 / variance in squared logits
MAX_OFFSET = 4.0  # logits; a query's few clicks are no evidence for more
MAX_STEP = 1.0  # of an iteration, since the likelihood is not concave
ITERATIONS = 12
MIN_PROBABILITY = 1e-5  # pairs below carry no information on an offset


def fit_offsets(
    score: Floats, pairs: Pairs, fold: Rows, evidence: Evidence, queries: int, strength: float
) -> Floats:
    """Return the most likely offset of each query without each fold of titles, (Q, FOLDS).

    Args:
        score: (K,) linear score of each pair.
        pairs: (K) of them.
        fold: (K,) title fold of each pair.
        evidence: of each pair.
        queries: Q.
        strength: of the normal prior around 0.
    """
    use = expit(score + MAX_OFFSET) > MIN_PROBABILITY
    score, pairs, fold, evidence = score[use], pairs.only(use), fold[use], evidence.only(use)
    found = np.zeros((queries, FOLDS))
    for at in range(FOLDS):
        rest = fold != at
        found[:, at] = _newton(
            score[rest], pairs.only(rest), evidence.only(rest), queries, strength
        )
    return found


def choose_offsets(
    score: Floats, pairs: Pairs, fold: Rows, evidence: Evidence, queries: int
) -> tuple[Floats, float | None]:
    """Return the offsets of the strength with the largest held-out likelihood, and the strength.

    Each pair's likelihood is taken with the offset that was fitted without its fold. All offsets
    are 0 and the strength is None where no strength beats that.
    """
    best = np.zeros((queries, FOLDS))
    highest, chosen = held_out_likelihood(score, pairs, evidence), None
    for strength in STRENGTHS:
        offsets = fit_offsets(score, pairs, fold, evidence, queries, strength)
        likelihood = held_out_likelihood(score + offsets[pairs.q, fold], pairs, evidence)
        if likelihood > highest:
            best, highest, chosen = offsets, likelihood, strength
    return best, chosen


def held_out_likelihood(score: Floats, pairs: Pairs, evidence: Evidence) -> float:
    """Return the log-likelihood of the clicks and labels under linear scores (K,)."""
    p = np.clip(expit(score), 1e-12, 1 - 1e-12)
    seen = p * evidence.if_relevant + (1 - p) * evidence.if_not
    return float(pairs.weight @ np.log(seen))


def _newton(
    score: Floats, pairs: Pairs, evidence: Evidence, queries: int, strength: float
) -> Floats:
    """Return the maximum of the penalised likelihood over the offset of each query, (Q,)."""
    offset = np.zeros(queries)
    for _ in range(ITERATIONS):
        p = expit(score + offset[pairs.q])
        gain = pairs.weight * (evidence.posterior(p) - p)
        slope = np.bincount(pairs.q, gain, minlength=queries) - strength * offset
        bend = np.bincount(pairs.q, pairs.weight * p * (1 - p), minlength=queries) + strength
        offset = np.clip(
            offset + np.clip(slope / bend, -MAX_STEP, MAX_STEP), -MAX_OFFSET, MAX_OFFSET
        )
    return offset


def fold_columns(fold: Rows) -> Floats:
    """Return the products' side of the offsets, one column a fold, (F, FOLDS)."""
    columns: Bools = fold[:, None] == np.arange(FOLDS)
    return columns.astype(np.float64)
