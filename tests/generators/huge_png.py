"""A PNG of a few bytes whose header promises 100,000 x 100,000 pixels."""

from __future__ import annotations

import zlib
from pathlib import Path

from PIL import Image

SIDE = 100_000
HEADER = slice(12, 29)  # type and content of the first chunk; its checksum follows


def save_huge_png(path: Path) -> Path:
    """Save it; the checksum is right, so that only its size is wrong."""
    Image.new("1", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = SIDE.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[HEADER]).to_bytes(4, "big")
    path.write_bytes(content)
    return path
