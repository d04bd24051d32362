from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from genfilt.cli.app import app
from genfilt.common.duckdb_file import STORAGE_VERSION
from genfilt.common.errors import UsageError, UserError
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


def test_a_link_to_a_missing_file_is_followed_and_the_file_created(tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(Path("elsewhere") / "g.duckdb")
    (tmp_path / "elsewhere").mkdir()
    with Store(link) as store:
        store.set_meta("a", "b")
    assert link.is_symlink()
    with Store(tmp_path / "elsewhere" / "g.duckdb", read_only=True) as store:
        assert store.meta("a") == "b"
    loop = tmp_path / "loop.duckdb"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="link to itself"):
        Store(loop)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a?b=c.duckdb", "must not contain a question mark"),
        (os.fsdecode(b"a\xff.duckdb"), "not a name in UTF-8"),
    ],
)
def test_a_name_that_duckdb_cannot_open_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Store(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_database_in_memory_is_no_database_file(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("product_id,title\n1,Mug\n")
    done = CliRunner().invoke(app, ["ingest", "--products", str(path), "--db", ":memory:"])
    assert isinstance(done.exception, UsageError)
    assert "--db must be a file" in str(done.exception)


def test_the_log_of_a_database_that_was_deleted_is_named(tmp_path: Path) -> None:
    path, log = tmp_path / "g.duckdb", tmp_path / "g.duckdb.wal"
    killed = (
        "import os, sys; from genfilt.store.store import Store; "
        "store = Store(sys.argv[1]); store.set_meta('a', 'b'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match="g.duckdb.wal is the log of a database that is not there"):
        Store(path)
    assert not path.exists()
    path.write_bytes(content)
    with Store(path, read_only=True) as store:
        assert store.meta("a") == "b"
    other = tmp_path / "other.duckdb"
    Store(other).close()
    log.rename(tmp_path / "other.duckdb.wal")
    with pytest.raises(UserError, match="other.duckdb.wal is the log of another database"):
        Store(other)
