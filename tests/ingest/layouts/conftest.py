"""Fixtures of layouts's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from genfilt.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "db" / "genfilt.duckdb") as opened:
        yield opened
