"""Features of a frozen tower in a float16 file, one row of patches a product."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genfilt.common.arrays import Integers

Features = np.memmap[tuple[int, ...], np.dtype[np.float16]]


class FeatureCache:
    """Features (P, W) of some products, in a float16 file; NaN where a picture was unreadable."""

    def __init__(self, path: Path, products: Integers, shape: tuple[int, int]) -> None:
        self.path = path
        self.products = products  # (N,), sorted
        self.shape = shape

    @property
    def nbytes(self) -> int:
        """Size on disk."""
        return len(self.products) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Size on disk of one product's features."""
        return 2 * self.shape[0] * self.shape[1]

    @cached_property
    def _features(self) -> Features:
        return np.memmap(self.path, np.float16, "r", shape=(len(self.products), *self.shape))

    def read(self, p: int) -> Tensor:
        """Return the features (P, W) of product p in float32.

        Raises:
            ValueError: the picture could not be read when the cache was made.
        """
        place = int(np.searchsorted(self.products, p))
        features = torch.from_numpy(self._features[place].astype(np.float32))
        if features[0, 0].isnan():
            raise ValueError("the picture could not be read when its features were computed")
        return features
