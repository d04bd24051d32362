from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genfilt.common.atomic import (
    remove_unfinished,
    replaced,
    replaced_folder,
    write_bytes,
    write_text,
)
from genfilt.common.errors import UserError


def fail_half_way(path: Path) -> None:
    with replaced(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def fail_half_way_in_a_folder(path: Path) -> None:
    with replaced_folder(path) as part:
        (part / "b").write_text("2")
        raise ZeroDivisionError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    write_text(path, "a\r\nb")
    assert path.read_bytes() == b"a\r\nb"
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path)
    assert path.read_bytes() == b"a\r\nb"
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with replaced_folder(path) as part:
        (part / "a").write_text("1")
    with pytest.raises(ZeroDivisionError):
        fail_half_way_in_a_folder(path)
    assert [p.name for p in path.iterdir()] == ["a"]
    with replaced_folder(path) as part:
        (part / "c").write_text("3")
    assert [p.name for p in path.iterdir()] == ["c"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("write", [write_text, write_bytes])
def test_the_error_names_file_cause_and_option(tmp_path: Path, write: object) -> None:
    (tmp_path / "file").touch()
    content: object = "x" if write is write_text else b"x"
    with pytest.raises(UserError, match=r"file/x cannot be written \(.+\); name another with --to"):
        write(tmp_path / "file" / "x", content, "--to")  # type: ignore[operator]


def test_a_full_disk_is_told_from_a_name_that_cannot_be_written(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    said = "No space left on device.*; free space, or name another with --out"
    with pytest.raises(UserError, match=said), replaced(tmp_path / "a.csv", "--out"):
        raise full
    assert not any(tmp_path.iterdir())


def test_files_that_a_process_left_are_removed_and_those_of_a_running_one_stay(
    tmp_path: Path,
) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    left = tmp_path / f".x.{int(gone.stdout)}.part"
    ours, others = tmp_path / f".x.{os.getpid()}.part", tmp_path / f".x.{os.getppid()}.part"
    for path in (left, ours, others):
        path.touch()
    remove_unfinished(tmp_path, ".x.*.part")
    assert sorted(tmp_path.iterdir()) == sorted([ours, others])
    os.utime(ours, (0, 0))  # of an earlier process that had our number
    remove_unfinished(tmp_path, ".x.*.part")
    assert list(tmp_path.iterdir()) == [others]
