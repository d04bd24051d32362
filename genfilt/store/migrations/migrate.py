"""Migrating a database of schema version 1 to the current tables, in one transaction."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files

import duckdb

from genfilt.common.console import say
from genfilt.common.duckdb_file import DATABASE, SEARCH_PATH, check_tables
from genfilt.common.errors import UserError

OLDEST = 1
CHANGED_SINCE_1 = ("meta", "filters", "reviews")  # tables whose rows the migration reads


def migrate(
    connection: duckdb.DuckDBPyConnection, path: str, version: int, schema: str, views: str
) -> None:
    """Bring a database to the current schema; a failure or a kill leaves the old one.

    Args:
        connection: has the file attached to write.
        path: the file, for messages.
        version: the schema version of the file.
        schema: the statements that create the current tables, with their comments.
        views: the statements that create the current views.

    Raises:
        UserError: no migration leads from the version, or the file is damaged.
    """
    if version != OLDEST:
        raise UserError(
            f"{path} has schema version {version}, from which no migration leads; "
            "ingest into a new file."
        )
    check_tables(connection, path, CHANGED_SINCE_1)
    connection.execute(f"USE {DATABASE}")
    connection.execute("BEGIN TRANSACTION")
    try:
        connection.execute(_text("version_1_set_aside.sql"))
        for statement in connection.extract_statements(schema):
            text = statement.query.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
            connection.execute(text)
        connection.execute(_text("version_1_copy.sql"))
        connection.execute(views)
    except BaseException:
        with suppress(duckdb.Error):  # after a failed write there is nothing to roll back
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    connection.execute(SEARCH_PATH)
    say(f"{path} was migrated from schema version {version}{_dropped_fits(connection)}")


def _dropped_fits(connection: duckdb.DuckDBPyConnection) -> str:
    rules = connection.execute(
        "SELECT rule FROM filters ANTI JOIN filter_fits USING (filter_id) WHERE current"
    ).fetchall()
    if not rules:
        return ""
    return f"; the fit of its filter was dropped: run genfilt filter --rule {rules[0][0]}"


def _text(name: str) -> str:
    return (files("genfilt.store.migrations") / name).read_text("utf-8")
