"""Journal of answers that wait for the database file while another command has it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, cast

from genfilt.common.errors import UserError
from genfilt.review.answers import ReviewAnswer, write_answers
from genfilt.store.store import Store


class Journal:
    """Answers in a file beside the database, one JSON object a line.

    Every access locks the file, so that two servers of one database lose nothing of each other's.

    Args:
        db: the database file.
    """

    def __init__(self, db: Path) -> None:
        self.path = db.with_name(f"{db.name}.reviews.jsonl")

    @property
    def is_waiting(self) -> bool:
        """Tell whether there is a journal."""
        return self.path.exists()

    def append(self, answer: ReviewAnswer) -> None:
        """Add an answer; it is on disk when this returns.

        Raises:
            UserError: the file cannot be written.
        """
        try:
            with self._locked("a+b") as file:
                assert file is not None
                file.seek(0, os.SEEK_END)
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # a line that a crash cut off must not spoil the next
                        file.write(b"\n")
                # Escaped to ASCII, so that no character of a text ends the line.
                file.write(json.dumps(asdict(answer)).encode("ascii") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(self.path.parent)
        except OSError as error:
            raise UserError(
                f"The answer is not saved: {self.path} cannot be written "
                f"({error.strerror or error})."
            ) from error

    def read(self) -> list[ReviewAnswer]:
        """Return the waiting answers; a line that is no answer is left out."""
        with self._locked("r+b") as file:
            return [] if file is None else _parsed(file.read())

    def apply(self, store: Store) -> int:
        """Write the waiting answers into the database, remove the journal, and return how many.

        A crash between the two is harmless: the same answers applied again change nothing.
        """
        with self._locked("r+b") as file:
            if file is None:
                return 0
            answers = _parsed(file.read())
            write_answers(store, answers)
            self.path.unlink(missing_ok=True)
            return len(answers)

    @contextmanager
    def _locked(self, mode: str) -> Iterator[BinaryIO | None]:
        """Open the journal with an exclusive lock; None where it is missing and `mode` reads."""
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


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether a path still names an open file: another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _parsed(content: bytes) -> list[ReviewAnswer]:
    answers = []
    for line in content.split(b"\n"):
        with suppress(ValueError, TypeError, RecursionError):
            answers.append(ReviewAnswer(**json.loads(line)))
    return answers


def _sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a new file in it outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
