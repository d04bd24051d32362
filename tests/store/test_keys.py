from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from genfilt.store.keys import (
    bytes_key,
    content_split,
    file_key,
    normalize_query,
    query_key,
    text_key,
)


def test_keys_are_blake2b_128_of_the_content(tmp_path: Path) -> None:
    text = "Crêpe pan 28 cm"
    expected = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    path = tmp_path / "any name"
    path.write_bytes(text.encode())
    assert text_key(text) == file_key(path) == bytes_key(text.encode()) == expected


def test_a_query_is_known_by_nfkc_spacing_and_case() -> None:
    assert normalize_query("  １２８GB \t Phone ") == "128GB Phone"
    assert query_key("Straße  shoes") == query_key("STRASSE shoes")
    assert query_key("red shoes") != query_key("redshoes")


def test_splits_come_from_content_in_the_promised_shares() -> None:
    splits = Counter(content_split(text_key(str(n)), None) for n in range(10_000))
    assert abs(splits["train"] - 8000) < 200
    assert abs(splits["val"] - 1000) < 150
    assert content_split("a", "b") == content_split("a", "b")
