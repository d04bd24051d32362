"""Names for the array types that both packages use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]  # (N, D) embeddings
Integers = NDArray[np.int32]  # the numbers q, p and f as the tables hold them
Rows = NDArray[np.int64]  # row indices and counts
Bools = NDArray[np.bool_]
Signs = NDArray[np.int8]  # small codes such as -1, 0 and 1
