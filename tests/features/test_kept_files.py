"""Vectors in files beside the database: named by content, checked, and made again."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest

from genfilt.features import embed as embedding
from genfilt.features.embed import embed, embed_relation
from genfilt.features.embedder import Embedder
from genfilt.features.vector_file import VectorFile, gather
from genfilt.store.store import Store

RELATION = (
    "SELECT number, text FROM (VALUES (7, 'mug'), (3, 'red hoodie'), (9, 'mug')) t(number, text)"
)
TEXTS = ["red hoodie", "mug", "mug"]


@pytest.fixture
def static() -> Embedder:
    return Embedder("static")


def test_many_vectors_are_a_file_that_is_made_again_when_it_is_gone(
    tmp_path: Path, static: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MIN_FILE_TEXTS", 2)
    with Store(tmp_path / "a.duckdb") as store:
        found = embed_relation(store, static, RELATION, "titles")
        assert isinstance(found, VectorFile)
        expected = embed(store, static, TEXTS)
        np.testing.assert_array_equal(gather(found, np.arange(3)), expected)
        before = found.path.stat().st_mtime_ns
        assert embed_relation(store, static, RELATION, "titles") == found
        assert found.path.stat().st_mtime_ns == before
        found.path.unlink()
        again = embed_relation(store, static, RELATION, "titles")
        np.testing.assert_array_equal(gather(again, np.arange(3)), expected)
        other = embed_relation(store, static, f"{RELATION} WHERE number > 3", "titles")
        names = sorted(path.name for path in other.path.parent.iterdir())
        assert names == [other.path.name, "titles.stamp"]


@pytest.mark.parametrize("damage", ["cut", "changed", "touched"])
def test_a_file_that_is_not_what_the_database_has_is_made_again(
    tmp_path: Path, static: Embedder, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(embedding, "MIN_FILE_TEXTS", 2)
    with Store(tmp_path / "a.duckdb") as store:
        file = embed_relation(store, static, RELATION, "titles")
        content = file.path.read_bytes()
        changed = content[:-8] + bytes(8)
        file.path.write_bytes({"cut": content[:-8], "changed": changed, "touched": content}[damage])
        again = embed_relation(store, static, RELATION, "titles")
        assert again.path.read_bytes() == content
        made = again.path.stat().st_mtime_ns
        embed_relation(store, static, RELATION, "titles")
        assert again.path.stat().st_mtime_ns == made


def test_a_database_that_is_only_read_lays_them_out_too(
    tmp_path: Path, static: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MIN_FILE_TEXTS", 2)
    with Store(tmp_path / "a.duckdb") as store:
        made = embed_relation(store, static, RELATION, "titles")
        content = made.path.read_bytes()
    rmtree(made.path.parent)
    with Store(tmp_path / "a.duckdb", read_only=True) as store:
        assert embed_relation(store, static, RELATION, "titles") == made
        assert made.path.read_bytes() == content
