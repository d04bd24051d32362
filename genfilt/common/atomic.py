"""Writing files and folders whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genfilt.common.errors import UserError

PROCESS = re.compile(r"\.(\d+)\.(?=part|new)")  # in the name of a temporary file
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STARTED = time.time()  # of this process, about


@contextmanager
def replaced(path: Path, option: str = "--out") -> Iterator[Path]:
    """Give the path of a temporary file that replaces `path` when the block succeeds.

    The temporary file stands in the same folder, which is made where it is missing. It is synced
    to disk before it takes the name, so that a crash leaves the old file or the new one, whole.

    Args:
        path: the file to write.
        option: the command-line option that names the file, for the error.

    Raises:
        UserError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        sync(part)
        part.replace(path)
    except OSError as error:
        raise _unwritten(path, error, option) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError, option: str) -> UserError:
    remedy = "free space, or name" if error.errno in FULL else "name"
    reason = error.strerror or error
    return UserError(f"{path} cannot be written ({reason}); {remedy} another with {option}.")


def remove_unfinished(folder: Path, pattern: str) -> None:
    """Remove the temporary files that killed processes left; those of a running one stay.

    Args:
        folder: where they stand.
        pattern: of their names, which end in the number of the process and .part or .new.
    """
    for left in folder.glob(pattern):
        numbers = PROCESS.findall(left.name)
        with suppress(OSError):
            if numbers and not _writes(int(numbers[-1]), left):
                left.unlink()


def _writes(process: int, path: Path) -> bool:
    """Whether a process may still write its file; in containers numbers come again and again."""
    if process == os.getpid():
        return path.stat().st_mtime >= STARTED
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def write_text(path: Path, text: str, option: str = "--out") -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with replaced(path, option) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, content: bytes, option: str = "--out") -> None:
    """Write a binary file, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with replaced(path, option) as part:
        part.write_bytes(content)


@contextmanager
def replaced_folder(path: Path, option: str = "--out") -> Iterator[Path]:
    """Give the path of an empty folder that takes the name `path` when the block succeeds.

    An existing folder of that name is removed only once the new one is complete on disk.

    Raises:
        UserError: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                sync(file)
        if path.exists():
            path.replace(old)
        part.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritten(path, error, option) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a new file in it outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def follow_umask(path: Path) -> None:
    """Give a file the permissions of a new one: some libraries create files for the owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)
