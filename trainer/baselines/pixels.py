"""Transforms of a picture to the pixels that a baseline takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genfilt.common.photos import to_rgb
from trainer.model.vision import ImageTransform

if TYPE_CHECKING:
    from PIL.Image import Image

SMALL_SIDE = 96
small_pictures = ImageTransform(SMALL_SIDE)


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
