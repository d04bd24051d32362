"""Picture files that a reader must refuse or turn upright."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

ORIENTATION, TURNED_BY_90 = 0x0112, 6  # an EXIF tag, and what phones write into it


def png_header(width: int, height: int) -> bytes:
    """Return the start of a PNG that claims a size, without its pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def save_turned(upright: Path, path: Path) -> Path:
    """Save a picture lying on its side, with the EXIF tag that turns it upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_BY_90
    with Image.open(upright) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    return path
