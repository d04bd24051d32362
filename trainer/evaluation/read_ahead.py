"""Pictures of parts of a catalogue, decoded by threads while a model computes the part before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

import torch
from torch import Tensor

from genfilt.common.arrays import Integers
from trainer.batches.picture_pack import PictureSource

MAX_THREADS = 8  # Pillow decodes and resizes without Python's lock
Read = tuple[Tensor, int, dict[int, str]]
"""Pixels (N, 3, S, S), how many products have no picture, and the unreadable ones with a reason."""


def read_ahead(source: PictureSource, parts: Iterable[Integers]) -> Iterator[tuple[Integers, Read]]:
    """Yield parts of products in their order with their pictures; two parts are in memory.

    Every product of a list stays in it, so that all models rank the same lists: one whose picture
    cannot be read counts as a white one.
    """
    white = _white(source.transform)
    last: tuple[Integers, list[Future[Tensor | str | None]]] | None = None
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        for part in chain(parts, [None]):
            ahead = None
            if part is not None:
                ahead = part, [pool.submit(_read, source, p) for p in part.tolist()]
            if last is not None:
                yield last[0], _collected(last[0], last[1], white)
            last = ahead


def _read(source: PictureSource, p: int) -> Tensor | str | None:
    if source.images[p].as_py() is None:
        return None
    try:
        return source.read(p)
    except ValueError as fault:
        return str(fault)


def _collected(products: Integers, made: list[Future[Tensor | str | None]], white: Tensor) -> Read:
    pixels: list[Tensor] = []
    missing, faults = 0, dict[int, str]()
    for p, future in zip(products.tolist(), made, strict=True):
        picture = future.result()
        if isinstance(picture, str):
            faults[p] = picture
        missing += picture is None
        pixels.append(picture if isinstance(picture, Tensor) else white)
    return torch.stack(pixels), missing, faults


def _white(transform: Callable[..., Tensor]) -> Tensor:
    from PIL import Image

    return transform(Image.new("RGB", (8, 8), "white"))
