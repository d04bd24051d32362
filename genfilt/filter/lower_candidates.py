"""Candidates below sigma, for reviews that show what the filter leaves out.

A filter stores no pair below its own floor, so they are scored anew: all of them in a small
catalogue, in a large one those of some queries and texts that are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Floats, Rows
from genfilt.features.embed import KeptVectors
from genfilt.filter.rules import Rule, current_rule
from genfilt.store.store import Store

# At 100,000 products and 41,451 queries all pairs take over ten minutes, these take one.
MAX_QUERIES, MAX_TEXTS = 2048, 65_536

QUERIES = "SELECT DISTINCT q AS number FROM query_no ORDER BY q"
TEXTS = """
SELECT DISTINCT f AS number FROM product_no JOIN products USING (product_id)
WHERE split = ? AND f IS NOT NULL ORDER BY f
"""


@dataclass(frozen=True)
class LowerCandidates:
    """Pairs that score `floor` or more and less than sigma, vetoed ones left out.

    Attributes:
        floor: the lowest score that was looked for.
        pairs: q, f and score of each.
        share: of all such pairs, which these were drawn from by their query and text.
    """

    floor: float
    pairs: pa.Table
    share: float


def lower_candidates(store: Store, split: str, seed: int) -> LowerCandidates | None:
    """Return candidates of a split below the current filter's sigma, by its stored fit.

    None without a filter and where no pair reaches the lowest floor of its rule.

    Raises:
        UserError: texts came after the filter, or its fit is not stored.
    """
    found = store.rows("SELECT embedder, sigma FROM filters WHERE current")
    if not found:
        return None
    embedder, sigma = found[0]
    rule = current_rule(store, KeptVectors(embedder))
    rng = np.random.default_rng(seed)
    queries, of_queries = _drawn(store.arrow(QUERIES), MAX_QUERIES, rng)
    texts, of_texts = _drawn(store.arrow(TEXTS, [split]), MAX_TEXTS, rng)
    for floor in rule.sampling_floors(sigma):
        pairs = _below(rule, floor, sigma, queries, texts)
        if pairs.num_rows:
            return LowerCandidates(floor, pairs, of_queries * of_texts)
    return None


def _drawn(numbers: pa.Table, most: int, rng: np.random.Generator) -> tuple[Rows, float]:
    """Return at most so many of the numbers, and which share of all they are."""
    every = numbers["number"].to_numpy().astype(np.int64)
    if len(every) <= most:
        return every, 1.0
    return np.sort(rng.choice(every, most, replace=False)), most / len(every)


def _below(rule: Rule, floor: float, sigma: float, queries: Rows, texts: Rows) -> pa.Table:
    batches: list[tuple[Rows, Rows, Floats]] = [
        (q[score < sigma], f[score < sigma], score[score < sigma])
        for q, f, score in rule.scored_pairs(queries, texts, floor)
    ]
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    q, f, score = (np.concatenate(each) for each in zip(empty, *batches, strict=True))
    return pa.table({"q": q.astype(np.int32), "f": f.astype(np.int32), "score": score})
