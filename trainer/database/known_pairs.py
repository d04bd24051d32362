"""What the database knows of pairs, as compact arrays: verdicts of train and corrections.

The trainer reads a genfilt database by its integer numbers alone; it computes no key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from genfilt.common.duckdb_file import open_file
from genfilt.common.errors import UserError

SCHEMA_VERSION = 1
ADDED = """
WITH image AS (
    SELECT f_image, min(p) AS low, max(p) AS high
    FROM features JOIN product_no USING (f) GROUP BY f_image
), title AS (
    SELECT f_title, min(p) AS low, max(p) AS high
    FROM features JOIN product_no USING (f) GROUP BY f_title
)
SELECT (SELECT count(*) FROM query_product_corrections),
       (SELECT count(*)
        FROM it_corrections JOIN image USING (f_image) JOIN title USING (f_title)
        WHERE NOT (image.low = image.high AND title.low = title.high AND image.low = title.low))
"""

Integers = NDArray[np.int32]


@contextmanager
def open_database(path: Path | str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a genfilt database to read, for as long as the block lasts.

    Raises:
        UserError: the file is missing, is held by another process, is no DuckDB file, is no
            genfilt database, or has another schema version.
    """
    connection = open_file(str(path), read_only=True)
    try:
        _check_schema(connection, path)
        yield connection
    finally:
        connection.close()


def _check_schema(connection: duckdb.DuckDBPyConnection, path: Path | str) -> None:
    try:
        rows = connection.sql("SELECT value FROM meta WHERE name = 'schema_version'").fetchall()
    except duckdb.CatalogException as error:
        raise UserError(
            f"{path} is a DuckDB file but no genfilt database; give another --db."
        ) from error
    version = rows[0][0] if rows else "none"
    if version != str(SCHEMA_VERSION):
        newer = version.isdigit() and int(version) > SCHEMA_VERSION
        remedy = "upgrade the trainer" if newer else "ingest into a new file"
        raise UserError(
            f"{path} has schema version {version}, this trainer reads {SCHEMA_VERSION}; {remedy}."
        )


def columns(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> dict[str, np.ma.MaskedArray[Any, Any] | NDArray[Any]]:
    """Return an answer's columns as NumPy arrays; a column that holds NULLs comes masked."""
    answer: dict[str, Any] = connection.execute(sql).fetchnumpy()
    return answer


@dataclass(frozen=True)
class Csr:
    """Sparse rows of integers: row r holds values[starts[r]:starts[r + 1]]."""

    starts: NDArray[np.int64]  # (rows + 1,)
    values: Integers  # (entries,)

    @classmethod
    def from_sorted(cls, rows: Integers, values: Integers) -> Csr:
        """Build from entries in the order of their rows."""
        size = int(rows[-1]) + 1 if len(rows) else 0
        starts = np.searchsorted(rows, np.arange(size + 1, dtype=np.int32))
        return cls(starts.astype(np.int64), values)

    @property
    def bound(self) -> int:
        """A number above every value."""
        return int(self.values.max(initial=-1)) + 1

    def entries(self, rows: Integers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (place, entry): rows[place] owns values[entry]; rows out of range are empty."""
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

    verdicts: Csr  # q -> p
    verdict_positive: NDArray[np.bool_]  # beside verdicts.values
    query_product: Csr  # q -> f
    image_title: Csr  # f_image -> f_title

    @property
    def used(self) -> tuple[int, int]:
        """The numbers of (query, feature text) and of (image, title) corrections."""
        return len(self.query_product.values), len(self.image_title.values)


def load_known_pairs(connection: duckdb.DuckDBPyConnection, *, genfilt: bool = True) -> KnownPairs:
    """Read verdicts and corrections; without `genfilt` both correction tables count as empty."""
    known = columns(
        connection, "SELECT q, p, positive FROM verdicts WHERE split = 'train' ORDER BY q"
    )
    found = "" if genfilt else " WHERE false"
    pairs = columns(connection, f"SELECT q, f FROM qp_corrections{found} ORDER BY q")
    matched = columns(
        connection, f"SELECT f_image, f_title FROM it_corrections{found} ORDER BY f_image"
    )
    return KnownPairs(
        verdicts=Csr.from_sorted(_plain(known["q"]), _plain(known["p"])),
        verdict_positive=np.asarray(known["positive"], dtype=np.bool_),
        query_product=Csr.from_sorted(_plain(pairs["q"]), _plain(pairs["f"])),
        image_title=Csr.from_sorted(_plain(matched["f_image"]), _plain(matched["f_title"])),
    )


def count_corrections(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return how many (query, product) and (image, title) pairs genfilt adds to what is known.

    What train clicks, labels and reviews say is no addition, nor is a product's own title.
    """
    (found,) = connection.execute(ADDED).fetchall()
    return int(found[0]), int(found[1])


def _plain(values: Any) -> Integers:
    return np.ascontiguousarray(values, dtype=np.int32)
