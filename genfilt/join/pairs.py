"""Inner parts of the threshold join: the bound of a short code, and the ways to scan codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]

TOLERANCE = 1e-6  # of a score, in units of the two lengths
LANES = 16  # partial sums of an exact score
