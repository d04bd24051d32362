"""Types and constants of the pairs that a join yields."""

from __future__ import annotations

from genfilt.common.arrays import Floats, Rows

Batch = tuple[Rows, Rows, Floats]  # left index, right index, score: equally long

TOLERANCE = 1e-6  # of a score, in units of the two lengths
LANES = 16  # partial sums of an exact score
