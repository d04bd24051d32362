"""SQL queries of users: one read-only statement over genfilt's tables and views, with limits."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

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
    for setting in () if locked else SETTINGS:
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
    return pa.Table.from_batches(batches, reader.schema)


def _reason(error: duckdb.Error) -> str:
    """Return DuckDB's reason without its drawing of the place in the query."""
    reason = str(error).split("\n\nLINE ")[0]
    return " ".join(reason.split())
