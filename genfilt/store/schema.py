"""Creating, checking and migrating the tables and views of schema.sql and views.sql."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb

from genfilt.common.atomic import remove_unfinished, sync
from genfilt.common.duckdb_file import (
    DATABASE,
    MEMORY,
    SEARCH_PATH,
    check_tables,
    define_views,
    open_file,
)
from genfilt.common.errors import UserError
from genfilt.store.migrations.migrate import migrate

SCHEMA_VERSION = 2


def sql_text(name: str) -> str:
    """Return an SQL file of this package."""
    return (files("genfilt.store") / name).read_text("utf-8")


@cache
def expected_columns() -> dict[str, tuple[str, ...]]:
    """Return the columns of each table in their order."""
    with duckdb.connect() as connection:
        connection.execute(sql_text("schema.sql"))
        rows = connection.execute(
            "SELECT table_name, list(column_name ORDER BY column_index) "
            "FROM duckdb_columns() WHERE NOT internal GROUP BY table_name"
        ).fetchall()
    return {name: tuple(columns) for name, columns in rows}


def open_tables(path: str, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Return a connection to a database of the current schema version, with its views.

    A missing file is created and a file of an older version is migrated, unless `read_only`.

    Raises:
        UserError: the file is no genfilt database, is damaged, is locked by another process, has a
            newer schema version, or with `read_only` is missing or has an older one.
    """
    if path != MEMORY and not read_only and not Path(path).exists():
        place = _behind_link(path)
        _refuse_left_log(place)
        _create_file(place)
    connection = open_file(path, read_only=read_only, create=path == MEMORY)
    try:
        if path == MEMORY:
            _create_tables(connection)
        _check(connection, path, read_only)
        define_views(connection, sql_text("views.sql"))
    except duckdb.Error as error:
        connection.close()
        raise UserError(
            f"{path} cannot be read as a genfilt database and may be damaged "
            f"({str(error).splitlines()[0]}); restore a copy, or name another file with --db."
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _behind_link(path: str) -> Path:
    """Return the file that a symbolic link names, for a missing one to be created there.

    Raises:
        UserError: the links lead in a circle.
    """
    try:
        return Path(path).resolve() if Path(path).is_symlink() else Path(path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} is a link to itself; name another file with --db.") from error


def _refuse_left_log(path: Path) -> None:
    """Refuse to create a database beside the write-ahead log of one that is gone.

    DuckDB would refuse to open both together, from then on.
    """
    log = path.with_name(f"{path.name}.wal")
    if log.exists() and not path.exists():
        raise UserError(
            f"{log} is the log of a database that is not there; bring {path.name} back beside "
            "it, or remove it to start anew."
        )


def _create_file(path: Path) -> None:
    """Create the database whole or not at all: it gets its name when it is complete on disk."""
    remove_unfinished(path.parent, f".{path.name}.*.new*")
    part = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open_file(str(part), read_only=False, create=True) as connection:
            _create_tables(connection)
            connection.execute(f"CHECKPOINT {DATABASE}")
        sync(part)
        _give_name(part, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be created ({error.strerror or error}); name another file with --db."
        ) from error
    finally:
        for left in (part, part.with_name(f"{part.name}.wal")):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _give_name(part: Path, path: Path) -> None:
    """Rename without replacing what another process created under the name meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        part.rename(path)


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"USE {DATABASE}")
    connection.execute("BEGIN TRANSACTION")
    connection.execute(sql_text("schema.sql"))
    connection.execute(sql_text("views.sql"))
    connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", [str(SCHEMA_VERSION)])
    connection.execute("COMMIT")
    connection.execute(SEARCH_PATH)


def _check(connection: duckdb.DuckDBPyConnection, path: str, read_only: bool) -> None:
    version = _version(connection, path)
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {version} and this genfilt reads {SCHEMA_VERSION}; "
            "upgrade genfilt."
        )
    if version < SCHEMA_VERSION:
        if read_only:
            raise UserError(
                f"{path} has schema version {version} and this genfilt reads {SCHEMA_VERSION}; "
                f"migrate it with: genfilt migrate --db {path}"
            )
        migrate(connection, path, version, sql_text("schema.sql"), sql_text("views.sql"))
    check_tables(connection, path, expected_columns())
    found = dict(
        connection.execute(
            "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
            "WHERE database_name = ? AND schema_name = 'main' GROUP BY table_name",
            [DATABASE],
        ).fetchall()
    )
    for table, columns in expected_columns().items():
        if tuple(found[table]) != columns:
            raise UserError(
                f"{path} is damaged, or was changed by another program: the columns of {table} "
                f"must be {', '.join(columns)}, got {', '.join(found[table])}; restore a copy, "
                "or name another file with --db."
            )


def _version(connection: duckdb.DuckDBPyConnection, path: str) -> int:
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [DATABASE]
        ).fetchall()
    }
    if "meta" not in tables:
        raise UserError(
            f"{path} is a DuckDB file but no genfilt database; name another file with --db."
        )
    check_tables(connection, path, ["meta"])
    rows = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchall()
    if not rows or not str(rows[0][0]).isdigit() or int(rows[0][0]) < 1:
        raise UserError(
            f"{path} states no schema version and is damaged, or is no genfilt database; "
            "name another file with --db."
        )
    return int(rows[0][0])
