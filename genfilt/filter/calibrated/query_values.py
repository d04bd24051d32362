"""Queries as the calibrated rule sees them: vectors, and the few values that each asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.filter.calibrated.attribute_values import Asked


@dataclass(frozen=True)
class Queries:
    """Q queries; the one that asks for most asks for A values.

    Attributes:
        vectors: (Q, D) unit rows.
        asked: (Q, A) places of the values that each query asks for, 0 where there are fewer.
        share: (Q, A) 1 over the number of values that the query asks for in the same family, 0
            where there are fewer.
    """

    vectors: npt.NDArray[np.float32]
    asked: npt.NDArray[np.int64]
    share: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        vectors: npt.NDArray[np.float32],
        asked: Sequence[Sequence[Asked]],
        values: Sequence[Asked],
    ) -> Queries:
        """Lay out what each query asks for, all of it among `values`."""
        place = {value: at for at, value in enumerate(values)}
        width = max(map(len, asked), default=0)
        places = np.zeros((len(asked), width), dtype=np.int64)
        share = np.zeros(places.shape, dtype=np.float32)
        for row, each in enumerate(asked):
            sizes = Counter(family for family, _ in each)
            for at, value in enumerate(each):
                places[row, at] = place[value]
                share[row, at] = 1 / sizes[value[0]]
        return cls(vectors, places, share)
