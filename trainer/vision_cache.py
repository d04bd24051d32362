"""A frozen tower's features, computed once and kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.corrections import Integers


class FeatureCache:
    """A frozen tower's features (P, W) of the stage's products, on disk as float16."""

    def __init__(self, path: Path, products: Integers, shape: tuple[int, int]) -> None:
        self.path = path
        self.products = products  # sorted
        self.shape = shape
        self.readable = np.zeros(len(products), dtype=np.bool_)

    @property
    def nbytes(self) -> int:
        """Size on disk."""
        return 2 * len(self.products) * self.shape[0] * self.shape[1]

    def open(self, mode: Any) -> np.memmap[Any, np.dtype[np.float16]]:
        """Return the file as (products, P, W); mode "w+" makes it."""
        return np.memmap(
            self.path, dtype=np.float16, mode=mode, shape=(len(self.products), *self.shape)
        )

    def read(self, p: int) -> Tensor:
        """Return the features (P, W) of product p in float32.

        Raises:
            ValueError: the picture could not be read when the cache was made.
        """
        place = int(np.searchsorted(self.products, p))
        if not self.readable[place]:
            raise ValueError("the picture could not be read")
        return torch.from_numpy(self.open("r")[place].astype(np.float32))
