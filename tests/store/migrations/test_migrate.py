"""A database that version 0.1 wrote, with every kind of row, migrated to the current schema."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from genfilt.common.errors import UserError
from genfilt.store.store import Store
from trainer.database.reading import open_database

FIXTURE = Path(__file__).parents[1] / "data" / "version-1.duckdb.gz"
UNCHANGED = (
    *("products", "queries", "clicks", "labels", "reviews", "attributes", "captions", "failures"),
    *("generator_states", "vectors", "runs", "samples", "query_no", "product_no", "query_keys"),
    *("product_keys", "features", "qp_candidates", "it_candidates"),
)
STRUCTURE = """
SELECT table_name, column_name, data_type, is_nullable, column_default, comment
FROM duckdb_columns() WHERE database_name = 'db' AND schema_name = 'main' ORDER BY ALL
"""
CONSTRAINTS = """
SELECT table_name, constraint_type, constraint_text FROM duckdb_constraints()
WHERE database_name = 'db' ORDER BY ALL
"""
VIEWS = """
SELECT view_name, comment FROM duckdb_views()
WHERE database_name = 'db' AND NOT internal ORDER BY ALL
"""
TABLES = "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = 'db' ORDER BY ALL"
# The whole migration is done, and its transaction is not committed.
KILLED = """
import os, signal, sys
from genfilt.store.migrations import migrate
def kill(name, text=migrate._text):
    if name == "version_1_copy.sql":
        return text(name) + "SELECT 1; FROM killed"
    return text(name)
migrate._text = kill
migrate.suppress = lambda *errors: os.kill(os.getpid(), signal.SIGKILL)
from genfilt.store.store import Store
Store(sys.argv[1])
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.duckdb"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in UNCHANGED
        }


def version(path: Path) -> str:
    with duckdb.connect(str(path), read_only=True) as connection:
        ((value,),) = connection.execute(
            "SELECT value FROM meta WHERE name = 'schema_version'"
        ).fetchall()
    return str(value)


def test_every_row_survives_and_old_fits_are_dropped(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tables(old)
    assert all(before[name] for name in UNCHANGED if name != "failures")
    with duckdb.connect(str(old), read_only=True) as connection:
        corrections = connection.execute(
            "SELECT query_id, product_id, score FROM query_product_corrections ORDER BY ALL"
        ).fetchall()
        filters = connection.execute(
            "SELECT * EXCLUDE calibration FROM filters ORDER BY ALL"
        ).fetchall()
    with Store(old) as store:
        assert store.meta("schema_version") == "2"
        migrated = "SELECT query_id, product_id, score FROM query_product_corrections ORDER BY ALL"
        assert store.rows(migrated) == corrections
        assert (
            store.rows(
                "SELECT * EXCLUDE (image_title_sigma, base_rate, max_per_query) FROM filters "
                "ORDER BY ALL"
            )
            == filters
        )
        assert store.rows("SELECT DISTINCT image_title_sigma, base_rate FROM filters") == [
            (0.9, None)
        ]
        assert store.rows("SELECT filter_id FROM filter_fits") == []
    assert "run genfilt filter --rule calibrated" in capsys.readouterr().err
    assert tables(old) == before


def test_a_migrated_database_has_the_structure_of_a_new_one(old: Path) -> None:
    with Store(old) as migrated, Store(old.with_name("new.duckdb")) as new:
        for sql in (STRUCTURE, CONSTRAINTS, VIEWS, TABLES):
            assert migrated.rows(sql) == new.rows(sql)
        migrated.rows("UPDATE reviews SET verdict = NULL")
        assert migrated.scalar("SELECT count(*) FROM verdicts WHERE source = 'review'") == 0


def test_a_paper_filter_keeps_its_sigma_for_both_kinds_of_pairs(old: Path) -> None:
    with duckdb.connect(str(old)) as connection:
        connection.execute(
            "UPDATE filters SET rule = 'paper', sigma = 0.7, calibration = NULL WHERE current"
        )
    with Store(old) as store:
        assert store.rows(
            "SELECT sigma, image_title_sigma, fit FROM filters JOIN filter_fits USING (filter_id)"
        ) == [(0.7, 0.7, None)]


def test_a_kill_inside_leaves_version_1(old: Path) -> None:
    before = tables(old)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(old)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert version(old) == "1"
    assert tables(old) == before
    with Store(old) as store:
        assert store.meta("schema_version") == "2"
    assert tables(old) == before


def test_a_kill_right_after_leaves_version_2(old: Path) -> None:
    """The migration stands in the write-ahead log alone, which the next command replays."""
    before = tables(old)
    code = (
        "import os, signal, sys; from genfilt.store.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(old)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with Store(old, read_only=True) as store:
        assert store.meta("schema_version") == "2"
    with Store(old) as store:
        assert store.scalar("SELECT count(*) FROM reviews") == len(before["reviews"])
    assert tables(old) == before


def test_readers_name_the_command_that_migrates_and_change_nothing(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(UserError, match=f"version 1 .*genfilt migrate --db {old}"):
        Store(old, read_only=True)
    with pytest.raises(UserError, match="genfilt migrate --db"), open_database(old):
        pass
    assert old.read_bytes() == before
