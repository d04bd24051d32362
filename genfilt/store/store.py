"""Reading and writing the tables of a database: one DuckDB file, one writing process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from genfilt.common.duckdb_file import MEMORY, make_room
from genfilt.store.schema import open_tables

ROWS_PER_BATCH = 65_536

Parameters = Sequence[object] | Mapping[str, object]


def now() -> datetime:
    """Return the current time in UTC without a zone, as the tables have it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Store:
    """The tables of `schema.sql` in a DuckDB file, or in memory.

    The views are defined in this connection; views, macros and triggers of the file are not run.

    Args:
        path: the file, created where it is missing unless `read_only`; ":memory:" for none.
        read_only: open an existing file beside other readers.

    Raises:
        UserError: the file is no genfilt database, is damaged, is locked by another process, has a
            newer schema version, or with `read_only` is missing or has an older one. Nothing has
            been written then.
    """

    def __init__(self, path: Path | str = MEMORY, *, read_only: bool = False) -> None:
        self.path = str(path)
        self.connection = open_tables(self.path, read_only=read_only)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is written inside, or nothing of it."""
        self.connection.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # after a failed write there is nothing to roll back
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def make_room(self, rows: int) -> None:
        """Let DuckDB use the memory that the keys of so many more rows take."""
        make_room(self.connection, self.path, rows)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return the answer's rows; for small answers."""
        return list(self.connection.execute(sql, parameters).fetchall())

    def scalar(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the one value of a one-row answer, None where there is no row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def arrow(self, sql: str, parameters: Parameters = ()) -> pa.Table:
        """Return the answer as an Arrow table."""
        return self.connection.sql(sql, params=parameters).to_arrow_table()

    def stream(self, sql: str, parameters: Parameters = ()) -> pa.RecordBatchReader:
        """Return the answer as batches, until the next statement on this store."""
        answer = self.connection.sql(sql, params=parameters)
        return answer.to_arrow_reader(ROWS_PER_BATCH)

    @contextmanager
    def registered(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
        """Let SQL read an Arrow table, or once a stream of batches, under a name."""
        self.connection.register(name, rows)
        try:
            yield
        finally:
            # A transaction that failed inside admits nothing but its end, and takes the name along.
            with suppress(duckdb.TransactionException):
                self.connection.unregister(name)

    def insert(self, table: str, rows: pa.Table, *, replace: bool = False) -> None:
        """Append columnar rows by column name; with `replace` rows of equal key are overwritten."""
        if rows.num_rows == 0:
            return
        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        with self.registered("incoming", rows):
            self.connection.execute(
                f"{verb} INTO {table} ({columns}) SELECT {columns} FROM incoming"
            )

    def meta(self, name: str) -> str | None:
        """Return a value of the meta table, None where it is not set."""
        value = self.scalar("SELECT value FROM meta WHERE name = ?", [name])
        return None if value is None else str(value)

    def set_meta(self, name: str, value: str) -> None:
        """Set a value of the meta table."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [name, value])

    def start_run(self, command: str, config: Mapping[str, object]) -> int:
        """Write down that a command started, with its options and versions; return its number."""
        # One process writes at a time: whatever else still runs was killed.
        self.connection.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'running'")
        run_id = int(self.scalar("SELECT coalesce(max(run_id), 0) + 1 FROM runs"))
        self.connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, NULL, 'running', NULL)",
            [run_id, command, json.dumps(config, default=str), json.dumps(versions()), now()],
        )
        return run_id

    def finish_run(self, run_id: int, status: str, counts: Mapping[str, object]) -> None:
        """Write down how a command ended."""
        self.connection.execute(
            "UPDATE runs SET finished = ?, status = ?, counts = ? WHERE run_id = ?",
            [now(), status, json.dumps(counts, default=str), run_id],
        )


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("genfilt", "duckdb", "torch", "sentence-transformers", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
