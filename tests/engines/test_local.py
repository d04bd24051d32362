"""The map over files: in order, with one process or several, and plain where a worker dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.engines import local


def size(key: str, path: Path) -> tuple[str, int]:
    return key, len(path.read_bytes())


def die(key: str, path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, Path]:
    found = {}
    for at in range(20):
        found[f"key {at}"] = tmp_path / f"{at}.bin"
        found[f"key {at}"].write_bytes(b"x" * at)
    return found


@pytest.mark.parametrize("pooled_from", [1, 1000])
def test_answers_come_in_the_order_given(
    files: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, pooled_from: int
) -> None:
    monkeypatch.setattr(local, "MIN_POOLED_FILES", pooled_from)
    monkeypatch.setattr(local, "CHUNK", 3)
    found = list(local.ordered_map(size, files))
    assert found == [(f"key {at}", (f"key {at}", at)) for at in range(20)]


def test_a_dead_worker_is_one_sentence(
    files: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MIN_POOLED_FILES", 1)
    with pytest.raises(UserError, match=r"ended from outside.*run the command again"):
        list(local.ordered_map(die, files))


def test_nothing_to_do_starts_nothing() -> None:
    assert list(local.ordered_map(die, {})) == []
