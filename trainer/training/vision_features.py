"""Computing the features of a frozen tower once, for `batches.feature_cache`.

Each process computes its part of the products and writes it in its place of one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from genfilt.common.atomic import sync
from genfilt.common.console import say, track
from genfilt.common.errors import UsageError, UserError
from trainer.batches.feature_cache import FeatureCache
from trainer.batches.reader import Batch, BatchReader, in_order
from trainer.model.query_life import QueryLife
from trainer.process_group import is_main, my_part, on_main, wait_for_all

if TYPE_CHECKING:
    import pyarrow as pa

    from genfilt.common.arrays import Integers

CACHED_AT_ONCE = 32  # pictures of a batch
PATHS_AT_ONCE = 1 << 16


def cache_features(
    model: QueryLife, products: Integers, reader: BatchReader, folder: Path, workers: int
) -> FeatureCache:
    """Compute the features of products' pictures, unless a file of the same ones is there.

    Args:
        model: with a frozen tower, on the device to compute on.
        products: (N,), sorted and distinct.
        reader: of rows that show one product each, in their order.
        folder: where the file goes, seen by all processes.
        workers: processes that read pictures, for each process that computes.

    Raises:
        UsageError: the model trains its tower.
        UserError: the file cannot be written.
    """
    if not model.vision.frozen:
        raise UsageError("--cache-vision needs a frozen tower; name one with --vision.")
    digest = _digest(model, products, reader.pictures.images)
    shape = (model.vision.patches, model.vision.width)
    cache = FeatureCache(folder / f"vision-{digest}.f16", products, shape)
    if on_main(lambda: _is_there(cache)):
        return cache
    part = cache.path.with_name(f".{cache.path.name}.part")
    mine = my_part(len(products), CACHED_AT_ONCE)
    try:
        on_main(lambda: _make_room(part, cache.nbytes))
        batches = in_order(reader, mine, CACHED_AT_ONCE, workers)
        _fill(part, cache, model, mine, batches)
        wait_for_all()
        on_main(lambda: _rename(part, cache.path))
    except OSError as error:
        raise UserError(
            f"{cache.path} cannot be written ({error.strerror or error}); name another with --out."
        ) from error
    finally:
        if is_main():
            part.unlink(missing_ok=True)
    return cache


def _is_there(cache: FeatureCache) -> bool:
    exists = cache.path.exists()
    verb = "are read from" if exists else "will take"
    say(
        f"Features of {len(cache.products)} pictures {verb} {cache.nbytes / 1e6:.1f} MB in "
        f"{cache.path}."
    )
    return exists


def _digest(model: QueryLife, products: Integers, images: pa.ChunkedArray) -> str:
    """Return a digest of the tower and of the products' numbers and paths."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((model.config.vision, model.image_transform)).encode())
    digest.update(products.tobytes())
    for start in range(0, len(products), PATHS_AT_ONCE):
        paths = images.take(products[start : start + PATHS_AT_ONCE]).to_pylist()
        digest.update(repr(paths).encode())
    return digest.hexdigest()


def _make_room(part: Path, size: int) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        file.truncate(size)


def _rename(part: Path, path: Path) -> None:
    part.replace(path)


def _fill(
    part: Path, cache: FeatureCache, model: QueryLife, mine: slice, batches: Iterable[Batch]
) -> None:
    device = next(model.parameters()).device
    products = cache.products[mine]
    # Written, not mapped: a full disk then is an error, and not a signal that ends the process.
    with part.open("r+b") as file, track("vision", len(products), show=is_main()) as advance:
        file.seek(mine.start * cache.row_bytes)
        for number, batch in enumerate(batches):
            shown = products[number * CACHED_AT_ONCE : (number + 1) * CACHED_AT_ONCE]
            features = np.full((len(shown), *cache.shape), np.nan, dtype=np.float16)
            if len(batch.products):
                with torch.inference_mode():
                    made = model.vision_features(batch.images.to(device))
                features[np.searchsorted(shown, batch.products)] = made.half().cpu().numpy()
            file.write(features.data)
            advance(len(shown))
        file.flush()
    sync(part)
