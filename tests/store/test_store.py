from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from genfilt.common.duckdb_file import STORAGE_VERSION
from genfilt.common.errors import UserError
from genfilt.store.failures import Failure, write_failures
from genfilt.store.schema import SCHEMA_VERSION
from genfilt.store.store import Store


def test_a_new_file_has_the_schema_and_an_old_storage_version(tmp_path: Path) -> None:
    path = tmp_path / "new" / "g.duckdb"
    with Store(path) as store:
        assert store.meta("schema_version") == str(SCHEMA_VERSION)
    with Store(path, read_only=True) as store:
        tags = store.scalar("SELECT tags FROM duckdb_databases() WHERE database_name = 'db'")
        assert STORAGE_VERSION.removesuffix(".0") in str(tags)


def test_a_transaction_writes_all_or_nothing() -> None:
    with Store() as store:
        with contextlib.suppress(duckdb.CatalogException), store.transaction():
            store.set_meta("half", "done")
            store.rows("FROM nowhere")
        assert store.meta("half") is None


def test_insert_goes_by_column_name_and_replaces_on_request() -> None:
    row = {"query_key": ["k"], "query": ["a"], "query_id": ["q"]}
    with Store() as store:
        store.insert("queries", pa.table(row))
        store.insert("queries", pa.table({**row, "query": ["b"]}), replace=True)
        assert store.rows("SELECT query_id, query FROM queries") == [("q", "b")]
        with pytest.raises(duckdb.ConstraintException):
            store.insert("queries", pa.table(row))


def test_a_failure_that_comes_again_counts_attempts() -> None:
    with Store() as store:
        for reason in ("first", "second"):
            write_failures(store, "extract", "g", [("k", Failure(reason))])
        assert store.rows("SELECT item_key, reason, attempts FROM failures") == [("k", "second", 2)]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database\n" * 100)
    with pytest.raises(UserError, match="is not a DuckDB file"):
        Store(path)
    assert path.read_text().startswith("not a database")


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE TABLE theirs (a INTEGER)")
    with pytest.raises(UserError, match="no genfilt database"):
        Store(path)
    with duckdb.connect(str(path)) as other:
        assert other.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("theirs",)]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    with Store(path) as store:
        store.set_meta("schema_version", str(SCHEMA_VERSION + 1))
    with pytest.raises(UserError, match="upgrade genfilt"):
        Store(path)


def test_reading_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no database"):
        Store(tmp_path / "none.duckdb", read_only=True)
    assert not (tmp_path / "none.duckdb").exists()


def test_a_file_locked_by_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    with Store(path):
        code = f"from genfilt.store.store import Store; Store({str(path)!r}, read_only=True)"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is locked by another process" in other.stderr
