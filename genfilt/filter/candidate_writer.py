"""Candidates on their way into the store: a file of all of them, then one insert from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genfilt.common.errors import UserError
from genfilt.store.store import Store

ROWS_PER_GROUP = 1 << 17
# The candidates of each query but the best. Those that a correction can come of are first; texts
# that no product has now take no place, and stay for products that get them again.
BEYOND = """
{source} LEFT JOIN (SELECT DISTINCT f AS of_product FROM product_no) ON of_product = f
QUALIFY {negated} (of_product IS NOT NULL AND row_number() OVER
    (PARTITION BY q, of_product IS NULL ORDER BY vetoed, score DESC, f) > {most})
"""


@dataclass(frozen=True)
class CandidateFile:
    """The candidates of one kind, on disk."""

    table: str
    path: Path
    rows: int

    def insert(self, store: Store, filter_id: int, most: int | None = None) -> None:
        """Insert the candidates in one statement; of each query at most so many, the best ones."""
        if not self.rows:
            return
        with pq.ParquetFile(self.path) as file:
            names = file.schema_arrow.names
            columns = ", ".join(names)
            chosen = "incoming"
            if most is not None:
                chosen = BEYOND.format(source=chosen, negated="NOT", most=int(most))
            batches = pa.RecordBatchReader.from_batches(
                file.schema_arrow, file.iter_batches(ROWS_PER_GROUP)
            )
            with store.registered("incoming", batches):
                store.connection.execute(
                    f"INSERT INTO {self.table} (filter_id, {columns}) "
                    f"SELECT {int(filter_id)}, {columns} FROM {chosen}"
                )


def forget_beyond(store: Store, most: int) -> None:
    """Delete the query-product candidates of each query but the best."""
    beyond = BEYOND.format(source="qp_candidates", negated="", most=int(most))
    store.connection.execute(
        f"DELETE FROM qp_candidates WHERE rowid IN (SELECT qp_candidates.rowid FROM {beyond})"
    )


def write_candidates(
    table: str, path: Path, batches: Iterator[pa.Table], most: int | None, option: str
) -> CandidateFile:
    """Write candidates to a file, as they are found.

    Args:
        table: the table that they belong to.
        path: the file.
        batches: rows of the table, without the filter's number.
        most: how many are allowed, None for any number.
        option: the command-line option that sets this limit.

    Raises:
        UserError: there are more.
    """
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            rows += batch.num_rows
            if most is not None and rows > most:
                raise UserError(
                    f"More than {most:,} pairs reach the floor; raise --sigma or --floor, or "
                    f"allow more with {option}."
                )
            if writer is None:
                writer = pq.ParquetWriter(path, batch.schema, compression="zstd")
            writer.write_table(batch.combine_chunks(), ROWS_PER_GROUP)
    finally:
        if writer is not None:
            writer.close()
    return CandidateFile(table, path, rows)
