"""A file of JSON objects, one a line, to which several processes append what must not get lost."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from genfilt.common.atomic import sync_folder
from genfilt.common.errors import UserError


class JsonLines:
    """The lines of a file; every access locks it, so that two servers lose nothing of each other's.

    Args:
        path: the file, created by the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, values: Mapping[str, object]) -> None:
        """Add an object; it is on disk when this returns.

        Raises:
            UserError: the file cannot be written.
        """
        try:
            with self.locked("a+b") as file:
                assert file is not None
                file.seek(0, os.SEEK_END)
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # a line that a crash cut off must not spoil the next
                        file.write(b"\n")
                # Escaped to ASCII, so that no character of a text ends the line.
                file.write(json.dumps(values).encode("ascii") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.path.parent)
        except OSError as error:
            raise UserError(
                f"The answer is not saved: {self.path} cannot be written "
                f"({error.strerror or error})."
            ) from error

    def read(self) -> list[dict[str, object]]:
        """Return the objects; a line that is none is left out, and a missing file has none."""
        with self.locked("r+b") as file:
            return [] if file is None else parse_lines(file.read())

    @contextmanager
    def locked(self, mode: str) -> Iterator[BinaryIO | None]:
        """Open the file with an exclusive lock; None where it is missing and `mode` reads."""
        while True:
            try:
                opened = cast("BinaryIO", self.path.open(mode))
            except FileNotFoundError:
                yield None
                return
            with opened as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is_at(file, self.path):
                    yield file
                    return


def parse_lines(content: bytes) -> list[dict[str, object]]:
    """Return the JSON objects of a file's lines; a line that is none is left out."""
    found = []
    for line in content.split(b"\n"):
        with suppress(ValueError, RecursionError):
            values = json.loads(line)
            if isinstance(values, dict):
                found.append(values)
    return found


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether a path still names an open file: another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
