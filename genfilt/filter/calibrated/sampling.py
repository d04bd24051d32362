"""A stratified, weighted sample of the train pairs, few enough to fit on."""

from __future__ import annotations

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated.coverage import UNJUDGED, Pairs
from genfilt.filter.calibrated.scoring import Products

MAX_PAIRS = 300_000
NEAREST_SHARE = 0.5  # share of a query's sample that is its nearest pairs
MAX_QUERIES = 1500
UNLOGGED_SHARE = 0.2  # of MAX_QUERIES, that queries without click and label have at least
PRODUCTS_AT_A_TIME = 65_536


def sample_pairs(
    queries: Queries, products: Products, log: Pairs, train: Rows, *, seed: int = 0
) -> tuple[Pairs, Floats]:
    """Return all train pairs where they are few, else a stratified sample.

    Of more than MAX_QUERIES queries, those of the log and the others are drawn apart, mostly those
    of the log. Of each query: all logged pairs, the nearest others by the mean of q.i and q.t, and
    a random part of the rest. A pair's weight is the inverse of the rate at which its query and it
    were drawn, so that weights sum to the number of all train pairs.

    Returns:
        The pairs, and (Q,) how many queries each query stands for, 0 where it was left out.
    """
    rng = np.random.default_rng(seed)
    stands_for = np.ones(len(queries.vectors))
    per_query = MAX_PAIRS // max(1, min(len(stands_for), MAX_QUERIES))
    if len(stands_for) * len(train) > MAX_PAIRS and len(stands_for) > MAX_QUERIES:
        stands_for = _drawn_queries(len(stands_for), log, rng)
    chosen = np.flatnonzero(stands_for)
    if len(chosen) * len(train) <= MAX_PAIRS or len(train) <= per_query:
        q = np.repeat(chosen, len(train))
        f = np.tile(train, len(chosen))
        return with_log(q, f, stands_for[q], log, len(products.written)), stands_for
    fused = (products.image[train] + products.title[train]) * np.float32(0.5)
    place = np.full(len(products.written), -1)  # of each train product among them
    place[train] = np.arange(len(train))
    logged_at = place[log.f]
    parts = []
    for row in chosen:
        logged_pairs = logged_at[(log.q == row) & (logged_at >= 0)]
        taken, weight = _of_query(fused @ queries.vectors[row], per_query, logged_pairs, rng)
        parts.append((train[taken], weight * stands_for[row]))
    q = np.repeat(chosen, [len(f) for f, _ in parts])
    f = np.concatenate([f for f, _ in parts])
    weight = np.concatenate([weight for _, weight in parts])
    return with_log(q, f, weight, log, len(products.written)), stands_for


def _drawn_queries(count: int, log: Pairs, rng: np.random.Generator) -> Floats:
    """Draw MAX_QUERIES of so many queries; return how many each stands for, (count,)."""
    logged = np.unique(log.q)
    others = np.setdiff1d(np.arange(count), logged)
    least = max(MAX_QUERIES - len(logged), round(UNLOGGED_SHARE * MAX_QUERIES))
    unlogged = min(len(others), least)
    stands_for = np.zeros(count)
    for rows, size in ((logged, MAX_QUERIES - unlogged), (others, unlogged)):
        drawn = rng.permutation(rows)[:size]
        stands_for[drawn] = len(rows) / max(len(drawn), 1)
    return stands_for


def _of_query(
    score: Floats, count: int, logged: Rows, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """Draw `count` products: all that were logged, the nearest, and some of the rest."""
    near = np.argpartition(-score, int(count * NEAREST_SHARE))[: int(count * NEAREST_SHARE)]
    chosen = np.zeros(len(score), dtype=bool)
    chosen[near] = chosen[logged] = True
    taken, rest = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    drawn = rng.choice(rest, size=min(len(rest), max(1, count - len(taken))), replace=False)
    weight = np.concatenate(
        [np.ones(len(taken)), np.full(len(drawn), len(rest) / max(len(drawn), 1))]
    )
    return np.concatenate([taken, drawn]), weight


def with_log(q: Rows, f: Rows, weight: Floats, log: Pairs, products: int) -> Pairs:
    """Return the pairs of rows q and f with their clicks and labels."""
    clicks = np.zeros(len(q), dtype=np.int64)
    label = np.full(len(q), UNJUDGED, dtype=np.int8)
    if len(log.q):
        known = log.q * products + log.f
        order = np.argsort(known)
        wanted = q * products + f
        place = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
        found = known[order][place] == wanted
        clicks[found] = log.clicks[order][place[found]]
        label[found] = log.label[order][place[found]]
    return Pairs(q, f, weight, clicks, label)
