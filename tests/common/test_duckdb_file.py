from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from genfilt.common.duckdb_file import KEY_MEMORY, MEMORY, memory_limit, open_file, quoted
from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store


def made(path: Path) -> Path:
    connection = open_file(str(path), read_only=False, create=True)
    connection.execute("USE db")
    connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    connection.close()
    return path


def test_a_file_is_made_read_and_protected(tmp_path: Path) -> None:
    path = made(tmp_path / "new" / "it's.duckdb")
    connection = open_file(str(path), read_only=True)
    assert connection.execute("FROM t").fetchall() == [(1,)]
    with pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DELETE FROM t")
    assert connection.execute("SELECT current_setting('autoload_known_extensions')").fetchall() == [
        (False,)
    ]
    connection.close()


def test_memory_is_limited() -> None:
    assert 0 < memory_limit() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_limit(spills=True) <= memory_limit()
    connection = open_file(MEMORY, read_only=False)
    ((limit,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    assert limit != duckdb.connect().execute("SELECT current_setting('memory_limit')").fetchone()
    connection.close()


@pytest.mark.parametrize("key_memory", [0, KEY_MEMORY])
def test_keys_of_any_number_of_rows_have_memory(
    key_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for their keys 100,000 products do not fit in 16 MiB."""
    monkeypatch.setattr("genfilt.common.duckdb_file.SPILLING_MEMORY", 1 << 24)
    monkeypatch.setattr("genfilt.common.duckdb_file.THREAD_MEMORY", 0)
    monkeypatch.setattr("genfilt.common.duckdb_file.KEY_MEMORY", key_memory)
    ids = [f"p{number}" for number in range(100_000)]
    with Store(tmp_path / "many.duckdb") as store:
        if key_memory:
            ingest(store, Sources(products=pa.table({"product_id": ids, "title": ids})))
            assert store.scalar("SELECT count(*) FROM products") == 100_000
        else:
            with pytest.raises(duckdb.OutOfMemoryException):
                ingest(store, Sources(products=pa.table({"product_id": ids, "title": ids})))
    limits = []
    for read_only in (True, False):
        with Store(tmp_path / "many.duckdb", read_only=read_only) as store:
            limits.append(store.scalar("SELECT current_setting('memory_limit')"))
    assert limits[0] == "16.0 MiB"  # reading takes no keys
    assert (limits[1] != limits[0]) == bool(key_memory)


def test_a_missing_file_is_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no database at"):
        open_file(str(tmp_path / "none.duckdb"), read_only=False)
    assert not list(tmp_path.iterdir())


def test_what_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("this is no database" * 1000)
    with pytest.raises(UserError, match="not a DuckDB file"):
        open_file(str(tmp_path / "text.duckdb"), read_only=True)
    with pytest.raises(UserError, match="is not a file"):
        open_file(str(tmp_path), read_only=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        open_file(str(tmp_path / "pipe"), read_only=False)


def test_a_damaged_file_is_not_taken_for_a_locked_one(tmp_path: Path) -> None:
    path = made(tmp_path / "t.duckdb")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_file(str(path), read_only=False).execute("FROM t")
    assert "damaged" in str(caught.value) or "cannot be opened" in str(caught.value)
    assert "another process" not in str(caught.value)


def test_a_locked_file_names_the_other_process(tmp_path: Path) -> None:
    path = made(tmp_path / "t.duckdb")
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match="another process"):
            open_file(str(path), read_only=False)
        other.communicate(b"\n")


def test_a_text_is_quoted_as_a_literal() -> None:
    text = 'it\'s \\ "x" \n'
    assert duckdb.connect().execute(f"SELECT {quoted(text)}").fetchone() == (text,)


def test_no_bar_is_drawn_between_the_rows_of_an_answer() -> None:
    """Under `python -c` DuckDB takes the process for a shell and would draw one."""
    line = (
        "from genfilt.store.store import Store; "
        "print(Store().scalar(\"SELECT current_setting('enable_progress_bar')\"))"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
