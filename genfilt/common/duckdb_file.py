"""Opening a DuckDB file that may come from elsewhere: only its tables are trusted, as data."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import duckdb

from genfilt.common.errors import LockedError, UserError
from genfilt.common.interrupts import watch

STORAGE_VERSION = "v1.4.0"  # older DuckDB shells read the file
MEMORY = ":memory:"
MAGIC = slice(8, 12)  # of a DuckDB file's bytes; they are b"DUCK"
MEMORY_SHARE = 0.6  # of the host's memory, for DuckDB; NumPy and torch need the rest
SPILLING_MEMORY = 1 << 30  # with four threads
THREAD_MEMORY = 1 << 27  # for each thread more
KEY_MEMORY = 80  # of a row's key: DuckDB holds all keys of a table that it writes to
DATABASE = "db"  # the name under which the file is attached
CLOSED = {
    # A file from elsewhere is untrusted input: nothing is fetched, loaded or read because of it.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    # A misspelt table must not resolve to a Python variable.
    "python_enable_replacements": "false",
}
KEYED_ROWS = f"""
SELECT coalesce(sum(estimated_size), 0)::BIGINT FROM duckdb_tables()
WHERE database_name = '{DATABASE}' AND has_primary_key
"""
# DuckDB's own functions come first, so that a macro in the file cannot take the name of one.
SEARCH_PATH = f"SET search_path = 'system.main,{DATABASE}.main'"


def open_file(path: str, *, read_only: bool, create: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a connection that has the DuckDB file attached as `db` and reads its tables.

    SQL on the connection reaches no other file and no network. To create tables, `USE db` first.

    Args:
        path: the file, or MEMORY.
        read_only: attach beside other readers; nothing can be written.
        create: make a missing file.

    Raises:
        UserError: the file is missing, is not a DuckDB file, is damaged, or is locked by another
            process.
    """
    if path != MEMORY:
        _check_path(path, create)
    connection = duckdb.connect(config=dict(CLOSED))
    watch(connection)
    try:
        limit_memory(connection, spills=_spills(path))
        # Under `python -c` DuckDB draws a bar on the standard output, between a command's rows.
        connection.execute("SET enable_progress_bar = false")
        fresh = path == MEMORY or not Path(path).exists()
        mode = "(READ_ONLY)" if read_only else f"(STORAGE_VERSION '{STORAGE_VERSION}')" * fresh
        # An absolute path is a file for certain, where md:name or s3://name may load an extension.
        place = path if path == MEMORY else str(Path(path).absolute())
        connection.execute(f"ATTACH {quoted(place)} AS {DATABASE} {mode}")
        if path != MEMORY:
            connection.execute(f"SET temp_directory = {quoted(f'{place}.tmp')}")
        # DuckDB keeps the attached file and its log on its list of allowed paths.
        connection.execute("SET enable_external_access = false")
        connection.execute(SEARCH_PATH)
        if not read_only:
            make_room(connection, path)
    except (duckdb.Error, UnicodeError) as error:
        connection.close()
        kind = LockedError if _is_locked(error) else UserError
        raise kind(why_not_opened(path, error)) from error
    return connection


def make_room(connection: duckdb.DuckDBPyConnection, path: str, rows: int = 0) -> None:
    """Raise the limit of memory for the keys of all rows that are there and of more to be written.

    Args:
        connection: has the file attached.
        path: the file, or MEMORY.
        rows: how many are about to be written to tables with a primary key. A transaction that
            is committed has their keys twice.
    """
    ((there,),) = connection.execute(KEYED_ROWS).fetchall()
    limit_memory(connection, spills=_spills(path), keyed_rows=there + 2 * rows)


def limit_memory(
    connection: duckdb.DuckDBPyConnection, *, spills: bool = False, keyed_rows: int = 0
) -> None:
    """Let the connection use what `memory_limit` says."""
    limit = memory_limit(spills=spills, keyed_rows=keyed_rows)
    connection.execute(f"SET memory_limit = '{limit}B'")


def define_views(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Define the views of an SQL text as temporary views, which hide those of the file.

    Raises:
        duckdb.Error: a table or column that a view reads is missing.
    """
    for statement in connection.extract_statements(sql):
        if statement.type == duckdb.StatementType.CREATE:
            text = statement.query.replace("CREATE VIEW", "CREATE OR REPLACE TEMP VIEW", 1)
            connection.execute(text)


def check_tables(
    connection: duckdb.DuckDBPyConnection, path: Path | str, names: Iterable[str]
) -> None:
    """Refuse a file whose relations are not plain tables, and would run SQL of the file.

    Args:
        connection: has the file attached.
        path: the file, for the error.
        names: the tables that will be read or written.

    Raises:
        UserError: one of them is missing, is a view, computes a column or has a trigger.
    """
    found = dict(
        connection.execute(
            "SELECT table_name, sql FROM duckdb_tables() "
            "WHERE database_name = ? AND schema_name = 'main'",
            [DATABASE],
        ).fetchall()
    )
    triggers: list[tuple[str]] = []
    with suppress(duckdb.CatalogException):  # before DuckDB 2.0 there are none
        triggers = connection.execute(
            "SELECT table_name FROM duckdb_triggers() WHERE database_name = ?", [DATABASE]
        ).fetchall()
    for name in names:
        if name not in found:
            fault = f"it has no table {name}"
        elif " GENERATED ALWAYS AS" in found[name]:
            fault = f"its table {name} has a computed column"
        elif (name,) in triggers:
            fault = f"its table {name} has a trigger"
        else:
            continue
        raise UserError(
            f"{path} is not a genfilt database, or is damaged ({fault}); restore a copy, "
            "or name another file with --db."
        )


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def memory_limit(*, spills: bool = False, keyed_rows: int = 0) -> int:
    """Return how many bytes DuckDB may use: a share of the host's, or of its control group's.

    Where it can move what it sorts and joins to disk, less is enough: for any size, and for the
    keys of the rows, which it cannot move.

    Args:
        spills: whether it has a folder for that.
        keyed_rows: rows of tables with a primary key.
    """
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
    except (OSError, ValueError):
        group = host
    most = int(MEMORY_SHARE * min(host, group))
    if not spills:
        return most
    threads = os.cpu_count() or 1
    working = SPILLING_MEMORY + THREAD_MEMORY * max(0, threads - 4)
    return min(most, working + KEY_MEMORY * keyed_rows)


def _spills(path: str) -> bool:
    return path != MEMORY and os.access(Path(path).absolute().parent, os.W_OK)


def _check_path(path: str, create: bool) -> None:
    if "?" in path:  # DuckDB takes what follows for parameters of an address
        raise UserError(f"{path} must not contain a question mark; name another with --db.")
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise UserError(f"{path!a} is not a name in UTF-8; name another with --db.")
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise UserError(f"{path} is not a file; name another with --db.")
        with Path(path).open("rb") as file:
            start = file.read(MAGIC.stop)
    except FileNotFoundError:
        if not create:
            raise UserError(
                f"There is no database at {path}; run genfilt ingest, or name it with --db."
            ) from None
        _make_folder(Path(path).parent)
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be opened ({reason}); name another with --db.") from error
    if start[MAGIC] != b"DUCK":
        raise UserError(f"{path} is not a DuckDB file; name another with --db.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be made ({error.strerror}); name another with --db."
        ) from error


def why_not_opened(path: str, error: Exception) -> str:
    """Return one sentence that says why DuckDB did not open a file."""
    text = str(error)
    if _is_locked(error):
        return (
            f"{path} is locked by another process; wait until it ends, "
            "or name another file with --db."
        )
    if "not a valid DuckDB" in text:
        return f"{path} is not a DuckDB file; name another with --db."
    if "WAL does not match" in text:
        return (
            f"{path}.wal is the log of another database than {path}; bring that one back, or move "
            "the log away."
        )
    damaged = duckdb.SerializationException | duckdb.IOException | duckdb.FatalException
    if isinstance(error, damaged) or "Corrupt database" in text:
        reason = text.splitlines()[0]
        return (
            f"{path} cannot be opened as a database and may be damaged ({reason}); "
            "restore a copy, or name another with --db."
        )
    return f"{path} cannot be opened as a database ({text.splitlines()[0]})."


def _is_locked(error: Exception) -> bool:
    return any(words in str(error) for words in ("Could not set lock", "Conflicting lock"))
