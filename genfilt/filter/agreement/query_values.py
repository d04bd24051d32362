"""Query vectors and the few attribute values that each query requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Rows, Vectors
from genfilt.filter.agreement.attribute_values import RequestedValue


@dataclass(frozen=True)
class Queries:
    """Q queries, each with at most A requested values.

    Attributes:
        vectors: (Q, D) unit rows.
        requested: (Q, A) indices of the values that each query requests, 0 beyond the last.
        share: (Q, A) 1 over the number of the query's values in the same family, 0 beyond the
            last.
    """

    vectors: Vectors
    requested: Rows
    share: Vectors

    @classmethod
    def of(
        cls,
        vectors: Vectors,
        requested: Sequence[Sequence[RequestedValue]],
        values: Sequence[RequestedValue],
    ) -> Queries:
        """Lay out the values that each query requests, all of them among `values`."""
        place = {value: at for at, value in enumerate(values)}
        width = max(map(len, requested), default=0)
        places = np.zeros((len(requested), width), dtype=np.int64)
        share = np.zeros(places.shape, dtype=np.float32)
        for row, each in enumerate(requested):
            sizes = Counter(family for family, _ in each)
            for at, value in enumerate(each):
                places[row, at] = place[value]
                share[row, at] = 1 / sizes[value[0]]
        return cls(vectors, places, share)
