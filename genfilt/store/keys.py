"""Content keys: what makes two titles, queries or pictures the same one."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

KEY_BYTES = 16


def text_key(text: str) -> str:
    """Return the blake2b-128 of a text's UTF-8 bytes, as 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=KEY_BYTES).hexdigest()


def file_key(path: Path) -> str:
    """Return the blake2b-128 of a file's bytes, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def bytes_key(content: bytes) -> str:
    """Return the blake2b-128 of bytes, as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=KEY_BYTES).hexdigest()


def normalize_query(query: str) -> str:
    """Return the query's feature text: NFKC, every run of white space one blank."""
    return " ".join(unicodedata.normalize("NFKC", query).split())


def query_key(query: str) -> str:
    """Return the key of a query: two that differ in case or spacing alone are one."""
    return text_key(normalize_query(query).casefold())


def content_split(title_key: str, image_key: str | None) -> str:
    """Return train, val or test (80/10/10) from a product's content, never from its id.

    Equal listings therefore always land in the same split.
    """
    share = int(text_key(f"{title_key} {image_key or ''}")[:8], 16) / 0x1_0000_0000
    if share < 0.8:
        return "train"
    return "val" if share < 0.9 else "test"
