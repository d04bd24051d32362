"""Opening a picture the same way for every captioner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def open_rgb(path: Path, longest_side: int | None = None) -> Image:
    """Return a picture upright, in RGB, on white where it was transparent.

    Args:
        path: any file that Pillow reads.
        longest_side: pixels to which a larger picture is made smaller; None keeps its size.

    Raises:
        OSError, ValueError and others of Pillow's: the file is no readable picture.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as source:
        if longest_side is not None:
            source.draft("RGB", (longest_side, longest_side))
        upright = ImageOps.exif_transpose(source)
        if upright.has_transparency_data:
            colours = upright.convert("RGBA")
            picture = Image.new("RGBA", colours.size, "white")
            picture.alpha_composite(colours)
            picture = picture.convert("RGB")
        else:
            picture = upright.convert("RGB")
    if longest_side is not None:
        picture.thumbnail((longest_side, longest_side))
    return picture
