"""Bounds of the share of relevant pairs, and the expected sizes of queries with few clicks.

The effective number of products of a query is 1 / sum of squared shares, where a pair's share is
of the click probabilities of its query by the score: of n equal ones it is n.
"""

from __future__ import annotations

import numpy as np

from genfilt.common.arrays import Bools, Floats
from genfilt.filter.calibrated.coverage import (
    CHAPMAN,
    CLICKS_ALONE,
    RELEVANT,
    Coverage,
    FewClicks,
    Pairs,
    estimation_method,
)

CLICKS_FOR_CHAO = 4.0  # a query, from which Chao's bound holds; of one click it can say nothing
# Of the effective numbers of queries, up to which they count: larger ones are those of queries that
# the score hardly separates. On generated shops the largest fifth had a third of its number of
# relevant products, the others three quarters.
LARGEST_QUANTILE = 0.8
SIZES_ALONE = 0.25  # lack of clicks from which the upper bound is that of the queries' sizes


def rate_range(
    pairs: Pairs, coverage: Coverage, score: Floats, use: Bools
) -> tuple[float, float] | None:
    """Return the lowest and highest share of relevant pairs that the log allows.

    With clicks alone: the bounds of `_bounds_by_clicks`. With labels: Chapman's estimate with its
    sampling error. None for other methods. `score` (K,) is linear; `use` are the pairs that no
    contradiction rules out.
    """
    total, relevant = float(pairs.weight.sum()), float(coverage.relevant.sum())
    if coverage.method == CLICKS_ALONE:
        lowest, highest = _bounds_by_clicks(pairs, relevant, score, use)
        return lowest / total, highest / total
    if coverage.method != CHAPMAN:
        return None
    clicked, labelled = pairs.known & (pairs.clicks > 0), pairs.label == RELEVANT
    n1, n2 = float(pairs.weight[clicked].sum()), float(pairs.weight[labelled].sum())
    both = float(pairs.weight[labelled & (pairs.clicks > 0)].sum())
    variance = (n1 + 1) * (n2 + 1) * max(n1 - both, 0) * max(n2 - both, 0)
    error = 1.96 * np.sqrt(variance / ((both + 1) ** 2 * (both + 2)))
    known = float(pairs.weight[pairs.known].sum())
    return max(known, relevant - float(error)) / total, (relevant + float(error)) / total


def few_clicks(pairs: Pairs, score: Floats, use: Bools, queries: int) -> FewClicks | None:
    """Return the sizes of queries that have too few clicks to count by; None where they suffice.

    A pair's click says less of a large query than of a small one. None, too, where so many pairs
    are labelled that they say how many are missed.
    """
    weight = _lack_of_clicks(pairs)
    if weight == 0 or estimation_method(pairs) != CLICKS_ALONE:
        return None
    numbers = _effective_numbers(pairs, score, use, queries)
    clicked = np.bincount(pairs.q[pairs.known], minlength=queries) > 0
    highest = np.quantile(numbers[clicked], LARGEST_QUANTILE)
    return FewClicks(np.minimum(numbers, highest), weight)


def clicks_suffice(pairs: Pairs) -> bool:
    """Return whether there are clicks alone, and enough of them for Chao's bound."""
    return _lack_of_clicks(pairs) == 0 and estimation_method(pairs) == CLICKS_ALONE


def _bounds_by_clicks(pairs: Pairs, chao: float, score: Floats, use: Bools) -> tuple[float, float]:
    """Return a lower and an upper bound of the number of relevant pairs, by clicks alone.

    From CLICKS_FOR_CHAO clicks a query on: Chao's count, and the clicked pairs divided by the click
    rate that the score gives to them (Elkan and Noto 2008), which is too high as far as the score
    separates imperfectly. With one click a query no pair can be clicked twice, and the mean rate is
    mostly that of small queries: then the quotient is the lower bound, in between a mean of both by
    clicks, and the upper one is at least the effective number of products of the clicked queries.
    """
    few = _lack_of_clicks(pairs)
    over_rate = max(chao, _clicked_over_rate(pairs, score, use))
    queries = int(pairs.q.max(initial=-1)) + 1
    clicked = np.bincount(pairs.q[pairs.known], minlength=queries) > 0
    numbers = _effective_numbers(pairs, score, use, queries)
    sizes = min(few / SIZES_ALONE, 1.0)
    highest = max(over_rate, float(numbers[clicked].sum())) ** sizes * over_rate ** (1 - sizes)
    return chao ** (1 - few) * over_rate**few, highest


def _lack_of_clicks(pairs: Pairs) -> float:
    """Return 1 where a query with clicks has one, 0 where it has CLICKS_FOR_CHAO or more.

    By the median of such queries: a few that are clicked often say nothing of the others.
    """
    clicks = np.bincount(pairs.q, weights=pairs.clicks)
    often = float(np.median(clicks[clicks > 0])) if clicks.any() else 1.0
    return 1 - float(np.clip((often - 1) / (CLICKS_FOR_CHAO - 1), 0.0, 1.0))


def _effective_numbers(pairs: Pairs, score: Floats, use: Bools, queries: int) -> Floats:
    """Return the effective number of products of each query, 0 where it has no pair, (Q,)."""
    from scipy.special import expit

    click = np.where(use, expit(score), 0.0)
    total = np.bincount(pairs.q, pairs.weight * click, minlength=queries)
    squares = np.bincount(pairs.q, pairs.weight * click**2, minlength=queries)
    return np.asarray(total**2 / np.maximum(squares, 1e-300))


def _clicked_over_rate(pairs: Pairs, score: Floats, use: Bools) -> float:
    from sklearn.isotonic import IsotonicRegression

    clicked = pairs.known
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    isotonic.fit(score[use], clicked[use].astype(float), sample_weight=pairs.weight[use])
    rate = isotonic.predict(score[use & clicked])
    return float(pairs.weight[clicked].sum() / max(rate.mean(), 1e-9)) if len(rate) else 0.0
