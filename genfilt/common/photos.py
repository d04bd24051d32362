"""Pictures of products, opened one way everywhere: upright, RGB, on white, of bounded size."""

from __future__ import annotations

import base64
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 40_000_000  # a larger picture would need over 160 MB in memory
THUMBNAIL_SIDE = 200  # pixels
THUMBNAIL_QUALITY = 72
# Of a file at first sight: some programs write a few bytes more behind a picture's end.
HEAD_BYTES, TAIL_BYTES = 16, 4096
ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND"}
TEXT_STARTS = (b"<", b"{")  # of an error page or a reply that was saved under a picture's name
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def picture_fault(path: Path) -> str | None:
    """Return what is wrong with a picture file at first sight, None where nothing is.

    Formats that are not known here pass; decoding alone shows all faults.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read()
    except OSError:
        return None  # reported by whoever reads the file
    if not head:
        return "is empty"
    if head.lstrip().startswith(TEXT_STARTS):
        return "is a text"
    for start, end in ENDS.items():
        if head.startswith(start) and end not in tail:
            return "is cut off"
    return None


def open_photo(path: Path, longest_side: int | None = None) -> Image:
    """Return a picture upright by its EXIF orientation, in RGB, on white where it is transparent.

    Args:
        path: any file that Pillow reads.
        longest_side: pixels to which a larger picture is made smaller; None keeps its size.

    Raises:
        ValueError: the picture has more than MAX_PIXELS pixels.
        OSError and others of Pillow's: the file is not a readable picture.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # limited below
        with Image.open(path) as source:
            if source.width * source.height > MAX_PIXELS:
                raise ValueError(
                    f"picture of {source.width:,} x {source.height:,} pixels; "
                    f"at most {MAX_PIXELS:,} pixels are read"
                )
            if longest_side is not None:
                source.draft("RGB", (longest_side, longest_side))
            picture = to_rgb(source)
    if longest_side is not None:
        picture.thumbnail((longest_side, longest_side))
    return picture


def to_rgb(image: Image) -> Image:
    """Return an opened picture upright and in RGB; transparent parts white, 16-bit grey as grey."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in SIXTEEN_BIT:
        # Pillow's own conversion clips 16-bit grey at 255, which turns nearly all of it white.
        upright = upright.convert("I").point(lambda value: value / 257).convert("L")
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    layer = upright.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def jpeg(path: Path, longest_side: int, quality: int) -> bytes | None:
    """Return a picture encoded anew: no byte of the file itself, which may be no picture.

    None where the file is missing, is a pipe or a device, or cannot be read as a picture.
    """
    if not path.is_file():  # a pipe or a device would never end
        return None
    try:
        content = BytesIO()
        open_photo(path, longest_side).save(content, "JPEG", quality=quality, optimize=True)
    except Exception:  # Pillow's readers raise whatever a broken file leads to
        return None
    return content.getvalue()


def thumbnail(path: str | None) -> str | None:
    """Return a picture as a small JPEG data URL, None where there is none that can be shown."""
    if not path:
        return None
    content = jpeg(Path(path), THUMBNAIL_SIDE, THUMBNAIL_QUALITY)
    if content is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
