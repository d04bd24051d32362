"""Counts of the requested values in the queries that each product is known to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.filter.agreement.agreement_table import family_numbers
from genfilt.filter.agreement.attribute_values import FAMILIES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated.coverage import Pairs


@dataclass(frozen=True)
class ClickCounts:
    """A sparse (F, V) table: how many queries of each product request each value.

    Attributes:
        family: (V,) index of each value's family in FAMILIES.
        keys: f * V + v of the cells above 0, ascending.
        times: (len(keys),) the counts in these cells.
        totals: (F, len(FAMILIES)) sums over the values of a family.
    """

    family: Rows
    keys: Rows
    times: Floats
    totals: Floats

    def at(self, f: Rows, v: Rows) -> tuple[Floats, Floats]:
        """Return how many queries request v, and how many another value of its family.

        `f` and `v` broadcast against each other; both results have the common shape.
        """
        f, v = np.broadcast_arrays(f, v)
        yes = np.zeros(f.shape)
        if len(self.keys):
            wanted = f * len(self.family) + v
            place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            yes = np.where(self.keys[place] == wanted, self.times[place], 0.0)
        return yes, self.totals[f, self.family[v]] - yes


def count_values(
    queries: Queries, values: Sequence[RequestedValue], pairs: Pairs, products: int
) -> ClickCounts:
    """Count the values that are requested by the queries of each product's known pairs."""
    family = family_numbers(values)
    known = pairs.only(pairs.known)
    requested = queries.requested[known.q]
    present = queries.share[known.q] > 0
    # Attributes and rarer words have counts; the query's words repeat them.
    present &= family[requested] != FAMILIES.index("query words")
    f = np.broadcast_to(known.f[:, None], requested.shape)[present]
    v = requested[present]
    keys, times = np.unique(f * len(values) + v, return_counts=True)
    totals = np.zeros((products, len(FAMILIES)))
    np.add.at(totals, (f, family[v]), 1.0)
    return ClickCounts(family, keys, times.astype(np.float64), totals)


def click_log_odds(yes: Floats, no: Floats) -> Floats:
    """Return the log odds that a product has a value, from the queries that it answers.

    `yes` of them request the value and `no` another one of its family; 0 where both are 0.
    """
    return np.asarray(np.log1p(2 * np.maximum(yes, 0)) - np.log1p(2 * no), dtype=np.float64)
