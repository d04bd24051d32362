"""Files that are created, damaged, foreign or hostile."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from genfilt.common.errors import UserError
from genfilt.store.readonly import run_query
from genfilt.store.schema import expected_columns, sql_text
from genfilt.store.store import Store
from trainer.database.reading import open_database

CREATE = "import sys; from genfilt.store.store import Store; Store(sys.argv[1]).close()"
# Stops where the tables are there and the file has not got its name yet.
STOP = """
import os, signal, sys
from genfilt.store import schema
schema.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
schema.open_tables(sys.argv[1], read_only=False)
"""


def test_a_kill_while_the_database_is_created_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    killed = subprocess.run([sys.executable, "-c", STOP, str(path)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".g.duckdb.")
    with Store(path) as store:
        assert store.meta("schema_version") == "2"
    assert [file.name for file in tmp_path.iterdir()] == ["g.duckdb"]


def test_a_full_disk_while_the_database_is_created_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    limit = 40_000  # bytes; an empty database has more

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    failed = subprocess.run(
        [sys.executable, "-c", CREATE, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert failed.returncode == 1
    assert os.strerror(27) in failed.stderr  # EFBIG
    assert list(tmp_path.iterdir()) == []
    Store(path).close()


def test_two_processes_that_create_a_database_get_one(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    command = [sys.executable, "-c", CREATE, str(path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert all("locked by another" in error or not error for error in errors)
    assert [file.name for file in tmp_path.iterdir()] == ["g.duckdb"]
    with Store(path) as store:
        assert store.meta("schema_version") == "2"


def filled(path: Path) -> None:
    with Store(path) as store:
        store.rows("INSERT INTO queries SELECT range, 'query ' || range, range FROM range(90000)")


def cut(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 8])


def cut_header(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[:5000])


def flip(path: Path) -> None:
    """Invert a byte in every kilobyte: no block keeps its checksum."""
    filled(path)
    content = bytearray(path.read_bytes())
    for place in range(13_000, len(content), 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (name, value)")


def foreign(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE meta (name VARCHAR, value VARCHAR)")


def half(path: Path) -> None:
    with Store(path) as store:
        store.rows("DROP TABLE db.features")


def changed(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE meta AS SELECT 'schema_version' AS name, '2' AS value")
        for table in expected_columns():
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (theirs INTEGER)")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.bind(str(path))


KINDS: dict[Callable[[Path], None], str] = {
    cut: "damaged",
    cut_header: "damaged",
    flip: "damaged",
    sqlite: "not a DuckDB file",
    foreign: "no schema version",
    half: "has no table features",
    changed: "the columns of .* must be",
    os.mkfifo: "is not a file",
    listening: "is not a file",
    Path.mkdir: "is not a file",
    Path.touch: "not a DuckDB file",
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_or_foreign_file_is_refused_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], None], read_only: bool
) -> None:
    path = tmp_path / "block.duckdb"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UserError, match=KINDS[make]) as refused, Store(path, read_only=read_only):
        pass
    assert "\n" not in str(refused.value)
    assert "locked" not in str(refused.value)
    assert before is None or path.read_bytes() == before
    with pytest.raises(UserError) as refused, open_database(path):
        pass
    assert "\n" not in str(refused.value)


def test_damage_in_the_data_is_one_sentence_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "g.duckdb"
    with Store(path) as store:
        store.rows(
            "INSERT INTO vectors SELECT '', range, [random() FOR _ IN range(64)] FROM range(9000)"
        )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        Store(path, read_only=True) as store,
        pytest.raises(UserError, match="The query failed: IO Error") as failed,
    ):
        run_query(store, "SELECT sum(list_sum(vector)) FROM vectors")
    assert "\n" not in str(failed.value)


def test_a_file_or_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    Store(folder / "g.duckdb").close()
    (folder / "g.duckdb").chmod(0)
    folder.chmod(0o555)
    parents = {parent: parent.stat().st_mode for parent in (tmp_path, *tmp_path.parents[:2])}
    for parent, mode in parents.items():  # pytest's folders are its user's alone
        parent.chmod(mode | 0o555)
    user = os.geteuid()
    try:
        if user == 0:  # to whom nothing is forbidden
            os.seteuid(65534)
        for read_only in (True, False):
            with pytest.raises(UserError, match=r"g\.duckdb cannot be opened \(Permission denied"):
                Store(folder / "g.duckdb", read_only=read_only)
        with pytest.raises(UserError, match=r"cannot be .*Permission denied"):
            Store(folder / "new.duckdb")
        with pytest.raises(UserError, match=r"cannot be .*Permission denied"):
            Store(folder / "below" / "new.duckdb")
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        for parent, mode in parents.items():
            parent.chmod(mode)


def test_a_database_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    Store(folder / "g.duckdb").close()
    folder.chmod(0o555)
    try:
        with Store(folder / "g.duckdb", read_only=True) as store:
            assert store.scalar("SELECT count(*) FROM positives") == 0
    finally:
        folder.chmod(0o755)


HOSTILE = {
    "view": "CREATE OR REPLACE VIEW verdicts AS FROM read_text('/etc/passwd')",
    "macro": "CREATE MACRO concat_ws(a, b, c) AS 'stolen'; CREATE MACRO count(a) AS 77",
}
REFUSED = {
    "a view for a table": (
        "DROP TABLE labels; CREATE VIEW labels AS SELECT '' AS query_id, '' AS product_id, "
        "1 AS label, '' AS grade, content AS split FROM read_text('/etc/passwd')"
    ),
    "a view for meta": "ALTER TABLE meta RENAME TO m; CREATE VIEW meta AS FROM m",
    "a trigger": (
        "CREATE TRIGGER t AFTER INSERT ON queries FOR EACH STATEMENT DELETE FROM products"
    ),
    "a computed column": (
        "DROP TABLE files; CREATE TABLE files (path VARCHAR, size BIGINT, mtime_ns BIGINT, "
        "etag VARCHAR, image_key VARCHAR GENERATED ALWAYS AS (path))"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_views_and_macros_of_a_file_do_not_run_and_are_left_alone(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "g.duckdb"
    Store(path).close()
    with duckdb.connect(str(path)) as other:
        other.execute(HOSTILE[name])
        other.execute("CREATE VIEW theirs AS SELECT 1 AS a")
    with Store(path) as store:
        store.rows("INSERT INTO queries VALUES ('q', 'a', 'k')")
        assert store.rows("SELECT count(*), count(q) FROM verdicts") == [(0, 0)]
        assert store.rows("SELECT count(*) FROM positives") == [(0,)]
        assert store.scalar("SELECT concat_ws(',', 'a', 'b')") == "a,b"
    with open_database(path) as connection:
        assert connection.sql("SELECT count(*), count(q) FROM verdicts").fetchall() == [(0, 0)]
        assert connection.sql("SELECT concat_ws(',', 'a', 'b')").fetchall() == [("a,b",)]
    with duckdb.connect(str(path)) as other:
        assert other.execute("FROM theirs").fetchall() == [(1,)]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_whose_tables_run_sql_is_refused(tmp_path: Path, name: str, read_only: bool) -> None:
    path = tmp_path / "g.duckdb"
    with duckdb.connect() as other:
        other.execute(f"ATTACH '{path}' AS g (STORAGE_VERSION 'latest'); USE g")
        other.execute(sql_text("schema.sql") + sql_text("views.sql"))
        other.execute("INSERT INTO meta VALUES ('schema_version', '2')")
        other.execute(REFUSED[name])
    with pytest.raises(UserError, match="no genfilt database|not a genfilt database"):
        Store(path, read_only=read_only)


def test_sql_on_an_open_database_reaches_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with Store(tmp_path / "g.duckdb") as store:
        for sql in (
            f"FROM read_csv('{secret}')",
            f"COPY meta TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.duckdb'}'",
            "SET enable_external_access = true",
            "FROM read_csv('http://127.0.0.1:9/a.csv')",
        ):
            with pytest.raises(duckdb.Error):
                store.connection.execute(sql)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["g.duckdb", "secret.csv"]


def test_a_python_variable_is_no_table() -> None:
    nowhere = [1]
    with Store() as store, pytest.raises(duckdb.CatalogException):
        store.rows("FROM nowhere")
    assert nowhere
