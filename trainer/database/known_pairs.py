"""Verdicts of the train split and genfilt's corrections, as sparse integer arrays.

The trainer reads a genfilt database by its integer numbers alone; it computes no key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from genfilt.common.arrays import Bools, Integers, Rows
from genfilt.common.errors import UserError
from trainer.database.column_files import ColumnFiles, sorted_starts
from trainer.database.reading import statement


@dataclass(frozen=True)
class SparseRows:
    """Integers in compressed sparse rows: row r has values[starts[r]:starts[r + 1]]."""

    starts: Rows  # (rows + 1,)
    values: Integers  # (entries,)

    @classmethod
    def from_sorted(cls, rows: Integers, values: Integers) -> SparseRows:
        """Build from entries in the order of their rows."""
        return cls(sorted_starts(rows), values)

    @property
    def bound(self) -> int:
        """A number above every value."""
        return int(self.values.max(initial=-1)) + 1

    def entries(self, rows: Integers) -> tuple[Rows, Rows]:
        """Return (place, entry): rows[place] has values[entry]; rows out of range are empty."""
        if len(self.starts) == 1:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        known = np.clip(rows, 0, len(self.starts) - 2)
        first = self.starts[known]
        size = np.where(rows == known, self.starts[known + 1] - first, 0)
        place = np.repeat(np.arange(len(rows)), size)
        offset = np.arange(len(place)) - np.repeat(np.cumsum(size) - size, size)
        return place, np.repeat(first, size) + offset


@dataclass(frozen=True)
class KnownPairs:
    """All that the masks are made of.

    Positive(q, p) is the verdict of the train split where there is one, else whether
    (q, f of p) is corrected by the current filter.
    """

    verdicts: SparseRows  # q -> p
    verdict_positive: Bools  # beside verdicts.values
    query_product: SparseRows  # q -> f
    image_title: SparseRows  # f_image -> f_title

    @property
    def used(self) -> tuple[int, int]:
        """The numbers of (query, feature text) and of (image, title) corrections."""
        return len(self.query_product.values), len(self.image_title.values)

    def corrected_by(self, path: Path) -> KnownPairs:
        """Return the same verdicts with the (q, f) of a NumPy file (N, 2) as all corrections.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            pairs = np.unique(np.load(path), axis=0).astype(np.int32).reshape(-1, 2)
        except (OSError, ValueError) as error:
            raise UserError(f"The pairs of {path} cannot be read ({error}).") from error
        q, f = (np.ascontiguousarray(column) for column in pairs.T)
        none = np.empty(0, dtype=np.int32)
        return replace(
            self,
            query_product=SparseRows.from_sorted(q, f),
            image_title=SparseRows.from_sorted(none, none),
        )


@dataclass(frozen=True)
class CorrectionCounts:
    """New corrections that training can see, as pairs of ids."""

    query_product: int = 0
    image_title: int = 0


PAIRS = {  # answer -> SQL, its column of rows, its column of values
    "verdict": (
        "SELECT q, p, positive FROM verdicts WHERE split = 'train' ORDER BY q, p",
        "verdict.q",
        "verdict.p",
    ),
    "query_product": (
        "SELECT q, f FROM qp_corrections WHERE {used} ORDER BY q, f",
        "query_product.q",
        "query_product.f",
    ),
    "image_title": (
        "SELECT f_image, f_title FROM it_corrections WHERE {used} ORDER BY f_image, f_title",
        "image_title.f_image",
        "image_title.f_title",
    ),
}


def load_known_pairs(
    connection: duckdb.DuckDBPyConnection, *, genfilt: bool = True, folder: Path | None = None
) -> KnownPairs:
    """Read verdicts and corrections.

    Args:
        connection: of the database.
        genfilt: False: both correction tables count as empty.
        folder: keeps the pairs as files, which `stored_known_pairs` maps; None for memory.
    """
    with ColumnFiles(folder) as files:
        for name, (sql, rows, _) in PAIRS.items():
            files.append_answer(name, connection, sql.format(used=str(genfilt).lower()))
            files.append(f"{name}.row_starts", sorted_starts(files.numbers(rows)))
        return _known_pairs(files)


def stored_known_pairs(folder: Path) -> KnownPairs:
    """Return the pairs that `load_known_pairs` wrote to a folder, mapped."""
    return _known_pairs(ColumnFiles(folder))


def _known_pairs(files: ColumnFiles) -> KnownPairs:
    verdicts, query_product, image_title = (
        SparseRows(files.counts(f"{name}.row_starts"), files.numbers(values))
        for name, (_, _, values) in PAIRS.items()
    )
    positive = files.truths("verdict.positive")
    return KnownPairs(verdicts, positive, query_product, image_title)


def count_new_corrections(connection: duckdb.DuckDBPyConnection) -> CorrectionCounts:
    """Return how many (query, product) and (image, title) pairs genfilt adds to train's verdicts.

    Counted are pairs of train products without a verdict in any split; a product's own title, or
    an equal one, is no new pair.
    """
    counts = connection.execute(statement("new_corrections")).fetchone()
    assert counts is not None
    return CorrectionCounts(*map(int, counts))
