"""Candidates below sigma, for reviews that show what the filter leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Floats, Rows
from genfilt.features.embed import KeptVectors
from genfilt.filter.rules import Rule, current_rule
from genfilt.store.store import Store


@dataclass(frozen=True)
class LowerCandidates:
    """The pairs that score `floor` or more and less than sigma, vetoed ones left out.

    Attributes:
        floor: the lowest score that was looked for.
        pairs: q, f and score of each.
    """

    floor: float
    pairs: pa.Table


def lower_candidates(store: Store) -> LowerCandidates | None:
    """Return the candidates below the current filter's sigma, by its stored fit.

    They are scored anew, since a filter stores no pair below its own floor. None without a filter
    and where no pair reaches the lowest floor of its rule.

    Raises:
        UserError: texts came after the filter, or its fit is not stored.
    """
    found = store.rows("SELECT embedder, sigma FROM filters WHERE current")
    if not found:
        return None
    embedder, sigma = found[0]
    rule = current_rule(store, KeptVectors(embedder))
    for floor in rule.sampling_floors(sigma):
        pairs = _below(rule, floor, sigma)
        if pairs.num_rows:
            return LowerCandidates(floor, pairs)
    return None


def _below(rule: Rule, floor: float, sigma: float) -> pa.Table:
    batches: list[tuple[Rows, Rows, Floats]] = [
        (q[score < sigma], f[score < sigma], score[score < sigma])
        for q, f, score in rule.scored_pairs(floor)
    ]
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    q, f, score = (np.concatenate(each) for each in zip(empty, *batches, strict=True))
    return pa.table({"q": q.astype(np.int32), "f": f.astype(np.int32), "score": score})
