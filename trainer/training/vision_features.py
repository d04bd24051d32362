"""Computing the features of a frozen tower once, for `batches.feature_cache`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from genfilt.common.atomic import replaced
from genfilt.common.console import say, track
from genfilt.common.errors import UsageError
from trainer.batches.feature_cache import FeatureCache
from trainer.batches.reader import Batch
from trainer.model.query_life import QueryLife


def cache_features(
    model: QueryLife, images: Mapping[int, str], batches: Iterable[Batch], folder: Path
) -> FeatureCache:
    """Compute the features of pictures, p -> path, unless a file of the same ones is there.

    Args:
        model: with a frozen tower, on the device to compute on.
        images: every product's picture.
        batches: the products' pictures, each once.
        folder: where the file goes.

    Raises:
        UsageError: the model trains its tower.
        UserError: the file cannot be written.
    """
    if not model.vision.frozen:
        raise UsageError("--cache-vision needs a frozen tower; name one with --vision.")
    products = np.array(sorted(images), dtype=np.int32)
    source = (model.config.vision, model.image_transform, sorted(images.items()))
    digest = hashlib.blake2b(repr(source).encode(), digest_size=8).hexdigest()
    shape = (model.vision.patches, model.vision.width)
    cache = FeatureCache(folder / f"vision-{digest}.f16", products, shape)
    exists = cache.path.exists()
    verb = "are read from" if exists else "will take"
    say(f"Features of {len(products)} pictures {verb} {cache.nbytes / 1e6:.1f} MB in {cache.path}.")
    if not exists:
        _fill(cache, model, batches)
    return cache


def _fill(cache: FeatureCache, model: QueryLife, batches: Iterable[Batch]) -> None:
    device = next(model.parameters()).device
    with replaced(cache.path) as part, track("vision", len(cache.products)) as advance:
        features = cache.open(part, "w+")
        for batch in batches:
            if len(batch.products):
                made = model.vision_features(batch.images.to(device)).half().cpu().numpy()
                features[np.searchsorted(cache.products, batch.products)] = made
            unread = np.array([p for p, _ in batch.unread], dtype=np.int32)
            features[np.searchsorted(cache.products, unread)] = np.nan
            advance(len(batch.products) + len(unread))
        features.flush()
