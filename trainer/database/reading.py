"""Opening a genfilt database and reading answers as NumPy arrays or Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from genfilt.common.duckdb_file import check_tables, open_file
from genfilt.common.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
# What the statements of this package read; in a file from elsewhere a view may have such a name.
TABLES = {
    *("meta", "products", "queries", "clicks", "labels", "reviews", "filters"),
    *("query_no", "product_no", "features", "qp_candidates", "it_candidates"),
    *("attributes", "captions"),
}
Columns = dict[str, NDArray[np.generic]]


@contextmanager
def open_database(path: Path | str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a genfilt database to read, for as long as the block lasts.

    Raises:
        UserError: the file is missing, is locked by another process, is not a DuckDB file or not
            a genfilt database, or has another schema version.
    """
    connection = open_file(str(path), read_only=True)
    try:
        try:
            _check_schema(connection, path)
            connection.execute(statement("views"))
        except duckdb.Error as error:
            raise UserError(
                f"{path} cannot be read as a genfilt database and may be damaged "
                f"({str(error).splitlines()[0]}); restore a copy, or give another --db."
            ) from error
        yield connection
    finally:
        connection.close()


def _check_schema(connection: duckdb.DuckDBPyConnection, path: Path | str) -> None:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'db' AND schema_name = 'main'"
    ).fetchall()
    tables = {name for (name,) in found}
    if "meta" not in tables:
        raise UserError(f"{path} is a DuckDB file but no genfilt database; give another --db.")
    rows = connection.sql("SELECT value FROM meta WHERE name = 'schema_version'").fetchall()
    version = rows[0][0] if rows else "none"
    if version != str(SCHEMA_VERSION):
        newer = version.isdigit() and int(version) > SCHEMA_VERSION
        remedy = "upgrade the trainer" if newer else f"migrate it with: genfilt migrate --db {path}"
        raise UserError(
            f"{path} has schema version {version}, this trainer reads {SCHEMA_VERSION}; {remedy}"
        )
    check_tables(connection, path, sorted(TABLES))


def statement(name: str) -> str:
    """Return the text of an SQL file of this package."""
    return (files("trainer.database") / f"{name}.sql").read_text("utf-8")


def columns(connection: duckdb.DuckDBPyConnection, sql: str) -> Columns:
    """Return an answer's columns as NumPy arrays; a column that holds NULLs comes masked."""
    answer = connection.execute(sql).fetchnumpy()
    return cast(Columns, answer)


def arrow_table(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Return an answer as an Arrow table."""
    return connection.sql(sql).to_arrow_table()
