"""Commands on a database that version 0.1 wrote."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parents[1] / "store" / "data" / "version-1.duckdb.gz"


def run(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"from {package}.cli.app import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def old(tmp_path: Path) -> str:
    path = tmp_path / "old.duckdb"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return str(path)


@pytest.mark.parametrize(
    "command",
    [
        ("genfilt", "status"),
        ("genfilt", "sql", "FROM products"),
        ("genfilt", "report", "--out", "report.html"),
        ("genfilt", "export", "positives", "--out", "positives.csv"),
        ("trainer", "fit", "--stage", "1"),
    ],
    ids=" ".join,
)
def test_commands_that_read_name_the_command_that_migrates(
    old: str, command: tuple[str, ...]
) -> None:
    done = run(*command, "--db", old)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"genfilt migrate --db {old}" in done.stderr.splitlines()[-1]


def test_migrate_migrates_and_status_warns_of_the_dropped_fit(old: str) -> None:
    done = run("genfilt", "migrate", "--db", old)
    assert done.returncode == 0
    assert "migrated from schema version 1" in done.stderr
    status = run("genfilt", "status", "--db", old)
    assert status.returncode == 0
    assert "the fit of the filter was dropped" in status.stdout
    assert "genfilt filter --rule calibrated" in status.stdout


def test_migrate_creates_no_database(tmp_path: Path) -> None:
    done = run("genfilt", "migrate", "--db", str(tmp_path / "none.duckdb"))
    assert done.returncode == 1
    assert "There is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []
