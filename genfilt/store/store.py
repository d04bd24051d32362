"""The correction tables: one DuckDB file, opened by one process at a time to write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from genfilt.common.duckdb_file import MEMORY, open_file
from genfilt.common.errors import UserError
from genfilt.generators.protocols import Failure

SCHEMA_VERSION = 2

Parameters = Sequence[Any] | Mapping[str, Any]


def now() -> datetime:
    """Return the current time in UTC without a zone, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Store:
    """The tables of `schema.sql` in a DuckDB file, or in memory.

    Args:
        path: the file, made where it is missing unless `read_only`; ":memory:" for none.
        read_only: open an existing file beside other readers.

    Raises:
        UserError: the file is not DuckDB, is held by another process, is missing
            (read only) or has a newer schema. Nothing has been written then.
    """

    def __init__(self, path: Path | str = MEMORY, *, read_only: bool = False) -> None:
        self.path = str(path)
        self.connection = open_file(self.path, read_only=read_only, create=not read_only)
        try:
            self._check_schema(read_only)
        except BaseException:
            self.connection.close()
            raise

    def _check_schema(self, read_only: bool) -> None:
        tables = {row[0] for row in self.rows("SELECT table_name FROM duckdb_tables()")}
        if "meta" not in tables:
            if tables or read_only:
                raise UserError(
                    f"{self.path} is a DuckDB file but no genfilt database; name another with --db."
                )
            with self.transaction():
                for name in ("schema.sql", "views.sql"):
                    self.connection.execute((files("genfilt.store") / name).read_text("utf-8"))
                self.set_meta("schema_version", str(SCHEMA_VERSION))
        version = int(self.meta("schema_version") or 0)
        if version != SCHEMA_VERSION:
            remedy = "upgrade genfilt" if version > SCHEMA_VERSION else "ingest into a new file"
            raise UserError(
                f"{self.path} has schema version {version} and this genfilt reads "
                f"{SCHEMA_VERSION}; {remedy}."
            )

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

    @contextmanager
    def registered(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Let SQL read an Arrow table under a name."""
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

    def write_failures(
        self, step: str, generator: str, failures: Sequence[tuple[str, Failure]]
    ) -> None:
        """Write down the items that failed; one that failed before counts one attempt more."""
        last = dict(failures)
        rows = pa.table(
            {
                "item_key": list(last),
                "reason": [failure.reason for failure in last.values()],
                "detail": [failure.detail for failure in last.values()],
            }
        )
        if rows.num_rows == 0:
            return
        with self.registered("failed", rows):
            self.connection.execute(
                "INSERT INTO failures SELECT ?, item_key, ?, reason, detail, 1, ? FROM failed "
                "ON CONFLICT DO UPDATE SET reason = excluded.reason, detail = excluded.detail, "
                "last_at = excluded.last_at, attempts = attempts + 1",
                [step, generator, now()],
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
