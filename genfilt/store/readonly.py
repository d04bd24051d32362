"""SQL queries of users: one read-only statement over genfilt's tables and views, with limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

import duckdb
import pyarrow as pa

from genfilt.common.duckdb_file import limit_memory
from genfilt.common.errors import UserError
from genfilt.store.schema import expected_columns, sql_text
from genfilt.store.statement_check import check_statement, known_names
from genfilt.store.store import Store

MAX_ANSWER_BYTES = 1 << 30  # an answer is gathered in memory before it is printed or written
ROWS_PER_BATCH = 1 << 16
SETTINGS = (
    # A query that needs more memory than there is fails, and does not fill the disk.
    "SET max_temp_directory_size = '0KB'",
    "SET lock_configuration = true",
)


def run_query(store: Store, query: str) -> pa.Table:
    """Return the answer to one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement.

    The store must have been opened read-only; afterwards its settings are locked.

    Raises:
        UserError: the query is none of these, names something outside genfilt's tables and views,
            fails, or has a larger answer than MAX_ANSWER_BYTES.
        duckdb.InterruptException: Ctrl-C was pressed.
    """
    if not query.strip():
        raise UserError("There is no query; give SQL as the argument or on standard input.")
    views = re.findall(r"^CREATE VIEW (\w+)", sql_text("views.sql"), flags=re.MULTILINE)
    connection = store.connection
    try:
        _lock(connection)
        check_statement(connection, query, known_names(connection, expected_columns(), views))
        if re.fullmatch(r"\s*show\s+tables\s*;?\s*", query, flags=re.IGNORECASE):
            # A view stands in the file and, as the one that is used, in the connection.
            query = "SELECT DISTINCT name FROM (SHOW TABLES) ORDER BY name"
        return _gather(connection.sql(query).to_arrow_reader(ROWS_PER_BATCH))
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise UserError(f"The query failed: {_reason(error)}") from error


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    locked = connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]
    if locked:
        return
    limit_memory(connection)  # that of commands which move joins to the disk is too low here
    for setting in SETTINGS:
        connection.execute(setting)


def _gather(reader: pa.RecordBatchReader) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > MAX_ANSWER_BYTES:
            raise UserError(
                f"The answer must not exceed {MAX_ANSWER_BYTES >> 20} MB; select fewer columns, "
                "or add LIMIT."
            )
    answer = pa.Table.from_batches(batches, reader.schema)
    _check_dates(answer)
    return answer.rename_columns(_distinct(answer.column_names))


def _check_dates(answer: pa.Table) -> None:
    """Refuse dates that Python cannot print; DuckDB's reach from 5877642 BC to 5881580."""
    for name, column in zip(answer.column_names, answer.columns, strict=True):
        if re.search("date|timestamp|time", str(column.type)):
            try:
                for batch in column.chunks:
                    batch.to_pylist()
            except (OverflowError, ValueError) as error:
                raise UserError(
                    f"The column {name} of the answer has a date outside the years 1 to 9999; "
                    f"cast it with ::VARCHAR."
                ) from error


def _distinct(names: Sequence[str]) -> list[str]:
    """Return column names with _1, _2, ... after those that stand before them already.

    SELECT 1 AS a, 2 AS a is SQL, but a row by name would lose the first.
    """
    taken = set(names)
    seen: set[str] = set()
    distinct = []
    for name in names:
        fresh = name
        for number in count(1):
            if fresh not in seen and (fresh == name or fresh not in taken):
                break
            fresh = f"{name}_{number}"
        seen.add(fresh)
        distinct.append(fresh)
    return distinct


def _reason(error: duckdb.Error) -> str:
    """Return DuckDB's reason without its drawing of the place in the query."""
    reason = str(error).split("\n\nLINE ")[0]
    return " ".join(reason.split())
