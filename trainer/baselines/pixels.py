"""Transforms of a picture to the pixels that a baseline takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genfilt.common.photos import to_rgb
from trainer.batches.picture_pack import PictureSource
from trainer.model.vision import ImageTransform

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

SMALL_SIDE = 96
MAX_BYTES = 2 << 30  # of pixels that are kept between epochs
small_pictures = ImageTransform(SMALL_SIDE)


class RememberedPictures(PictureSource):
    """Reads each picture once and keeps its pixels for later epochs, as far as MAX_BYTES last."""

    def __init__(self, images: pa.ChunkedArray, transform: Callable[..., Tensor]) -> None:
        super().__init__(images, transform)
        self._kept: dict[int, Tensor] = {}
        self._left = MAX_BYTES

    def read(self, p: int, *seed: int) -> Tensor:
        """Return the picture of product p, which has one; a seed is not supported.

        Raises:
            ValueError: the file is missing, is not a whole picture, or has too many pixels.
        """
        if seed:
            raise ValueError("A remembered picture is always the same, so it takes no seed.")
        pixels = self._kept.get(p)
        if pixels is None:
            pixels = super().read(p)
            if pixels.nbytes <= self._left:
                self._left -= pixels.nbytes
                self._kept[p] = pixels
        return pixels


class NamedPictures:
    """A checkpoint's own preprocessing, as a transform of one picture."""

    def __init__(self, processor: Callable[..., dict[str, list[object]]]) -> None:
        self.processor = processor

    def __call__(self, image: Image) -> Tensor:
        """Return image as float32 (3, S, S)."""
        made = self.processor(images=to_rgb(image), return_tensors="pt")
        return torch.as_tensor(made["pixel_values"][0], dtype=torch.float32)


def named_pictures(name: str) -> NamedPictures:
    """Return the preprocessing that a checkpoint's folder or hub name brings.

    Raises OSError or ValueError where it brings none.
    """
    import transformers

    processors: Any = transformers.AutoImageProcessor
    return NamedPictures(processors.from_pretrained(name, backend="pil"))
