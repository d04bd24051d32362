"""SQL over the tables: read-only, and with no way out of the file."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.store.store import Store


def ask(store: Store, query: str) -> pa.Table:
    """Return the answer to one or more SQL statements, that of the last.

    The store must have been opened read-only. Files, the network and settings are closed to the
    query.

    Raises:
        UserError: the database refuses the query, with its own words.
    """
    if not query.strip():
        raise UserError("There is no query; give SQL as the argument or on standard input.")
    store.connection.execute("SET enable_external_access = false")
    store.connection.execute("SET lock_configuration = true")
    try:
        answer = store.connection.sql(query)
        return pa.table({}) if answer is None else answer.to_arrow_table()
    except duckdb.Error as error:
        raise UserError(f"The query failed: {error}") from error
