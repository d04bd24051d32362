"""A frozen tower's features, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genfilt.common.arrays import Integers
from genfilt.common.console import say, track
from genfilt.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trainer.batches.reader import Batch
    from trainer.model.query_life import QueryLife


class FeatureCache:
    """Features (P, W) of some products, in a float16 file; NaN where a picture was unreadable."""

    def __init__(self, path: Path, products: Integers, shape: tuple[int, int]) -> None:
        self.path = path
        self.products = products  # (N,), sorted
        self.shape = shape

    @property
    def nbytes(self) -> int:
        """Size on disk."""
        return 2 * len(self.products) * self.shape[0] * self.shape[1]

    def open(self, path: Path, mode: Any) -> np.memmap[Any, np.dtype[np.float16]]:
        """Return a file as (N, P, W); mode "w+" makes it."""
        return np.memmap(path, np.float16, mode, shape=(len(self.products), *self.shape))

    @cached_property
    def _features(self) -> np.memmap[Any, np.dtype[np.float16]]:
        return self.open(self.path, "r")

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


def cache_features(
    model: QueryLife, images: dict[int, str], batches: Iterable[Batch], folder: Path
) -> FeatureCache:
    """Compute the features of pictures, p -> path, unless a file of the same ones is there.

    Args:
        model: with a frozen tower, on the device to compute on.
        images: every product's picture.
        batches: the products' pictures, each once.
        folder: where the file goes.

    Raises:
        UsageError: the model trains its tower.
    """
    if not model.vision.frozen:
        raise UsageError("--cache-vision needs a frozen tower; name one with --vision.")
    products = np.array(sorted(images), dtype=np.int32)
    what = (model.config.vision, model.image_transform, sorted(images.items()))
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).hexdigest()
    shape = (model.vision.patches, model.vision.width)
    cache = FeatureCache(folder / f"vision-{digest}.f16", products, shape)
    there = cache.path.exists()
    verb = "are read from" if there else "will take"
    say(f"Features of {len(products)} pictures {verb} {cache.nbytes / 1e6:.1f} MB in {cache.path}.")
    if not there:
        folder.mkdir(parents=True, exist_ok=True)
        _fill(cache, model, batches)
    return cache


def _fill(cache: FeatureCache, model: QueryLife, batches: Iterable[Batch]) -> None:
    part = cache.path.with_suffix(".part")
    features = cache.open(part, "w+")
    device = next(model.parameters()).device
    with track("vision", len(cache.products)) as advance:
        for batch in batches:
            if len(batch.products):
                made = model.vision_features(batch.images.to(device)).half().cpu().numpy()
                features[np.searchsorted(cache.products, batch.products)] = made
            unread = np.array([p for p, _ in batch.unread], dtype=np.int32)
            features[np.searchsorted(cache.products, unread)] = np.nan
            advance(len(batch.products) + len(unread))
    features.flush()
    part.replace(cache.path)
