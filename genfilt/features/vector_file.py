"""Matrices of float32 vectors in files (.npy) that are written and read a range of rows at a time.

Rows are read by plain reads, not by a memory map: mapped pages count in a process's resident size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Rows, Vectors
from genfilt.common.atomic import replaced
from genfilt.common.errors import UserError

ITEM = np.dtype("<f4").itemsize
MAX_GAP = 8  # rows that are read and left out rather than skipped


@dataclass(frozen=True)
class VectorFile:
    """A complete file of vectors, (count, width) float32 in row order.

    Attributes:
        path: the file.
        count, width: its shape.
        start: where the first row's bytes are.
    """

    path: Path
    count: int
    width: int
    start: int

    @classmethod
    def open(cls, path: Path) -> VectorFile:
        """Read the header of a file.

        Raises:
            UserError: the file is missing, is no float32 matrix in row order, or is cut short.
        """
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                if version != (1, 0):
                    raise ValueError(f"version {version}")
                shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
                start = file.tell()
                size = os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as vectors ({error}).") from error
        whole = len(shape) == 2 and size == start + shape[0] * shape[1] * ITEM
        if by_columns or kind != np.dtype("<f4") or not whole:
            raise UserError(f"{path} is no complete float32 matrix; remove it and run again.")
        return cls(path, shape[0], shape[1], start)

    def rows(self, first: int, last: int) -> Vectors:
        """Return the rows from `first` to before `last`, (n, width)."""
        first, last = min(first, self.count), min(last, self.count)
        at = self.start + first * self.width * ITEM
        count = max(0, last - first) * self.width
        found = np.fromfile(self.path, "<f4", count, offset=at)
        return found.reshape(-1, self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """The count and the width, as of an array."""
        return self.count, self.width

    def __len__(self) -> int:
        return self.count

    def take(self, rows: Rows) -> Vectors:
        """Return the rows of these numbers, (len(rows), width), in any order and repeated."""
        wanted, place = np.unique(rows, return_inverse=True)
        found = np.empty((len(wanted), self.width), np.float32)
        # Rows that lie near each other are one read.
        ends = [*(np.flatnonzero(np.diff(wanted) > MAX_GAP) + 1).tolist(), len(wanted)]
        first = 0
        with self.path.open("rb", buffering=0) as file:
            for end in ends if len(wanted) else []:
                run = wanted[first:end]
                span = np.empty((int(run[-1] - run[0]) + 1, self.width), "<f4")
                _read(file.fileno(), span, self.start + int(run[0]) * self.width * ITEM)
                found[first:end] = span[run - run[0]]
                first = end
        return found[place]


VectorSource = Vectors | VectorFile  # what `gather` and `block` read


def gather(vectors: VectorSource, rows: Rows) -> Vectors:
    """Return the rows of these numbers, (len(rows), D), from memory or from the file."""
    return vectors.take(rows) if isinstance(vectors, VectorFile) else vectors[rows]


def block(vectors: VectorSource, first: int, last: int) -> Vectors:
    """Return the rows from `first` to before `last`, from memory or from the file."""
    if isinstance(vectors, VectorFile):
        return vectors.rows(first, last)
    return vectors[first:last]


def _read(descriptor: int, into: Vectors, at: int) -> None:
    target = memoryview(into.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], at + done)
        if not count:
            raise UserError("A file of vectors was cut short while it was read; run again.")
        done += count


class VectorWriter:
    """Fills the rows of a new file of a known shape, in any order."""

    def __init__(self, path: Path, count: int, width: int) -> None:
        self.count, self.width = count, width
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            self.start = file.tell()
            file.truncate(self.start + count * width * ITEM)
        self._file = path.open("r+b", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def put(self, rows: Rows, vectors: Vectors) -> None:
        """Write vectors (n, width) at their rows (n,); neighbouring rows are one write."""
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        vectors = np.ascontiguousarray(vectors[order], np.float32)
        ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        first = 0
        for end in ends if len(rows) else []:
            place = self.start + int(rows[first]) * self.width * ITEM
            os.pwrite(self._file.fileno(), vectors[first:end].tobytes(), place)
            first = end


@contextmanager
def new_vectors(path: Path, count: int, width: int) -> Iterator[VectorWriter]:
    """Give a writer of a file that takes its name when the block succeeds.

    Raises:
        UserError: the file cannot be written.
    """
    with replaced(path, "--db") as part:
        writer = VectorWriter(part, count, width)
        try:
            yield writer
        finally:
            writer.close()


def save_vectors(path: Path, vectors: Vectors) -> VectorFile:
    """Write a matrix (N, D) as a file, whole or not at all."""
    with new_vectors(path, len(vectors), vectors.shape[1]) as writer:
        writer.put(np.arange(len(vectors)), vectors)
    return VectorFile.open(path)
