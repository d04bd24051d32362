from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genfilt.store.store import Store


def genfilt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "from genfilt.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "p.csv": "id;title\n1;Red mug, large\n2;Blue mug\n",
        "l.csv": "query;docid;rating\nred mug;1;3\nred mug;2;x\n",
        "shifted.csv": "product_id,title\n1,Red mug, large\n",
        "flat.csv": "query,title,label\nred mug,Red mug,E\nred mug,Blue mug,\nred mug,Cup,S\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with Store(folder / "t.duckdb") as store:
        return store.rows(sql)


def test_a_map_concerns_the_tables_that_have_the_column(folder: Path) -> None:
    words = "--products p.csv --labels l.csv --map product_id=id --map product_id=docid"
    maps = "--map label=rating --label-map 3=1 --label-map x=0 --db t.duckdb"
    done = genfilt(folder, "ingest", *words.split(), *maps.split())
    assert done.returncode == 0, done.stderr
    assert "2 products, 1 queries, 2 labels, 0 failed" in done.stderr
    assert rows(folder, "SELECT product_id, label, grade FROM labels ORDER BY 1") == [
        ("1", 1, "3"),
        ("2", 0, "x"),
    ]


def test_unrated_rows_are_no_positives(folder: Path) -> None:
    done = genfilt(folder, "ingest", "flat.csv", "--label-map", "E=1,S=0", "--db", "t.duckdb")
    assert done.returncode == 0, done.stderr
    assert "1 rows without a label left out" in done.stderr
    assert rows(folder, "SELECT title, source FROM positives JOIN products USING (product_id)") == [
        ("Red mug", "label")
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--products shifted.csv", 1, "line 2 has 3 values where the header has 2"),
        ("--products p.csv", 1, "p.csv has no column product_id; it has id, title"),
        ("p.csv --map product_id=id", 2, "give it as --products p.csv"),
        ("--products p.csv --map product_id=sku", 1, "No table has a column sku"),
        ("--products p.csv --map colour=id", 2, "names no column of genfilt"),
        ("--products p.csv --map title", 2, "--map must be NAME=VALUE"),
        ("--products p.csv --delimiter xx", 2, "--delimiter must be one character"),
        ("--products p.csv --encoding xx", 2, "--encoding must be"),
        ("--labels l.csv --label-map 3=2", 2, "3=2"),
        ("--labels l.csv --label-map 3=1 --label-map 3=0", 2, "both 0 and 1"),
        ("--labels l.csv --label-map 3=1 --min-grade 2", 2, "exclude each other"),
        ("--labels l.csv --min-grade nan", 2, "must be a finite number, got nan"),
        ("--labels l.csv --min-grade=-inf", 2, "must be a finite number, got -inf"),
    ],
)
def test_faults_end_in_one_sentence(folder: Path, words: str, code: int, message: str) -> None:
    done = genfilt(folder, "ingest", *words.split(), "--db", "t.duckdb")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
