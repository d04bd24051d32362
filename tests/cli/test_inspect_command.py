"""status, sql, report, export and audit --sample on a shop without pictures, as users run them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from genfilt.features.embedder import PACKAGED_MODEL
from genfilt.store.store import Store
from tests.shop_files import write_csv

TITLES = (
    "oak bed frame with drawers",
    "queen bed with storage",
    "enamel stock pot",
    "steel stock pot",
    "red ceramic mug",
    "blue ceramic mug",
)
QUERIES = ("queen bed with storage", "stock pot", "ceramic mug")
STEPS = (
    ("extract", "ingest --products"),
    ("filter", "genfilt extract"),
    ("audit", "genfilt ingest --labels"),
)


def genfilt(db: Path, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from genfilt.cli.app import main; main()", *words]
    return subprocess.run(
        line,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GENFILT_DB": str(db)},
    )


@pytest.fixture(scope="module")
def titles_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of products without a picture, filtered."""
    folder = tmp_path_factory.mktemp("titles")
    db = folder / "t.duckdb"
    products = write_csv(
        folder / "p.csv",
        "product_id,title,split",
        [(f"p{n}", title, "train") for n, title in enumerate(TITLES)],
    )
    queries = write_csv(
        folder / "q.csv", "query_id,query", [(f"q{n}", text) for n, text in enumerate(QUERIES)]
    )
    clicks = write_csv(folder / "c.csv", "query_id,product_id,split", [("q0", "p1", "train")])
    for words in (
        ["ingest", "--products", products, "--queries", queries, "--clicks", clicks],
        ["extract"],
        ["filter", "--rule", "paper", "--sigma", "0.3"],
    ):
        done = genfilt(db, *words)
        assert done.returncode == 0, done.stderr
    return db


@pytest.mark.parametrize("model", ["static", "folder"])
def test_audit_and_explain_take_the_filters_embedder(
    titles_only: Path, tmp_path: Path, model: str
) -> None:
    db, given = tmp_path / "t.duckdb", model
    shutil.copy(titles_only, db)
    if model == "folder":
        given = str(Path(str(files(PACKAGED_MODEL) / "model")))
    labels = write_csv(
        tmp_path / "l.csv",
        "query_id,product_id,label",
        [("q1", "p2", "1"), ("q1", "p3", "1"), ("q2", "p0", "0"), ("q2", "p4", "1")],
    )
    rule = ["--rule", "paper", "--sigma", "0.3", "--embedder", given]
    for words in (["ingest", "--labels", labels], ["filter", *rule]):
        assert genfilt(db, *words).returncode == 0
    with Store(db, read_only=True) as store:
        before = store.rows("SELECT embedder, count(*) FROM vectors GROUP BY ALL ORDER BY ALL")
    found = [genfilt(db, "audit", *more) for more in ([], ["--embedder", given])]
    assert found[0].returncode == 0, found[0].stderr
    assert found[0].stdout == found[1].stdout
    assert genfilt(db, "explain", "q1", "p4").returncode == 0
    with Store(db, read_only=True) as store:
        assert before == store.rows(
            "SELECT embedder, count(*) FROM vectors GROUP BY ALL ORDER BY ALL"
        )
    new = genfilt(db, "explain", "a text that is new", "p4")
    if model == "folder":
        assert new.returncode == 1
        assert "give it to genfilt explain --embedder" in new.stderr
        new = genfilt(db, "explain", "a text that is new", "p4", "--embedder", given)
    assert new.returncode == 0, new.stderr


def test_every_page_of_products_without_pictures_works(titles_only: Path, tmp_path: Path) -> None:
    status = genfilt(titles_only, "status", "--format", "csv")
    rows = {row["what"]: row for row in csv.DictReader(io.StringIO(status.stdout))}
    assert rows["products that no correction can reach"]["count"] == "0"
    assert int(rows["query-product corrections, new"]["count"]) > 0
    done = genfilt(titles_only, "report", "--out", str(tmp_path / "r.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "no picture" in page
    assert "Query and title" in page
    assert "Query and picture" not in page
    assert "None" not in page
    done = genfilt(titles_only, "audit", "--sample", "3", "--out", str(tmp_path / "s.csv"))
    assert done.returncode == 0, done.stderr
    assert "None" not in (tmp_path / "s.html").read_text("utf-8")
    assert "None" not in (tmp_path / "s.csv").read_text("utf-8")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_export_is_what_its_ending_says(titles_only: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"pairs.{ending}"
    done = genfilt(titles_only, "export", "positives", "--out", str(out))
    assert done.returncode == 0, done.stderr
    if ending == "csv":
        with out.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, object]] = list(csv.DictReader(file))
    elif ending == "jsonl":
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    else:
        rows = pq.read_table(out).to_pylist()
    assert {"query", "title", "image", "source", "score"} == set(rows[0])
    assert {str(row["source"]) for row in rows} == {"click", "genfilt"}
    assert done.stderr.startswith(f"{len(rows)} positives of the split train")


def test_another_ending_is_refused_before_anything_is_written(
    titles_only: Path, tmp_path: Path
) -> None:
    for words in (
        ("export", "positives", "--out", str(tmp_path / "x.xlsx")),
        ("sql", "FROM queries", "--out", str(tmp_path / "x.txt")),
        ("report", "--out", str(tmp_path / "r.csv")),
        ("audit", "--sample", "2", "--out", str(tmp_path / "x.html")),
    ):
        done = genfilt(titles_only, *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "must end in" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["t.csv", "t.duckdb"])
def test_no_output_overwrites_the_database(tmp_path: Path, name: str) -> None:
    db = tmp_path / name
    assert genfilt(db, "ingest", "--queries", write_csv(
        tmp_path / "q.csv", "query_id,query", [("1", "mug")])).returncode == 0  # fmt: skip
    before = db.read_bytes()
    link = tmp_path / "link.csv"
    link.symlink_to(db)
    for out in (db, link, tmp_path / ".." / tmp_path.name / name):
        for words in (
            ("audit", "--sample", "1"),
            ("report",),
            ("export", "positives"),
            ("sql", "FROM queries"),
        ):
            done = genfilt(db, *words, "--out", str(out))
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert "must not be the database" in done.stderr
    assert db.read_bytes() == before


def test_a_filled_sheet_is_kept(titles_only: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "s.csv"
    words = ("audit", "--sample", "3", "--out", str(sheet))
    assert genfilt(titles_only, *words).returncode == 0
    assert genfilt(titles_only, *words).returncode == 0  # nothing is filled in yet
    filled = sheet.read_text("utf-8-sig").replace(",,,\n", ",1,,\n", 1)
    sheet.write_text(filled, "utf-8")
    draws = genfilt(titles_only, "sql", "SELECT max(draw) AS n FROM samples", "--format", "csv")
    refused = genfilt(titles_only, *words)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert sheet.read_text("utf-8") == filled
    again = genfilt(titles_only, "sql", "SELECT max(draw) AS n FROM samples", "--format", "csv")
    assert again.stdout == draws.stdout  # nothing was drawn for the refused sheet
    assert genfilt(titles_only, *words, "--overwrite").returncode == 0


SAVED = ((";", "cp1252"), (";", "utf-8-sig"), (",", "cp1252"), ("\t", "utf-16"))


@pytest.mark.parametrize(("separator", "encoding"), SAVED)
def test_a_sheet_saved_by_a_spreadsheet_program_comes_back(
    titles_only: Path, tmp_path: Path, separator: str, encoding: str
) -> None:
    db, sheet = tmp_path / "t.duckdb", tmp_path / "s.csv"
    shutil.copy(titles_only, db)
    assert genfilt(db, "audit", "--sample", "4", "--out", str(sheet)).returncode == 0
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows[1:]):
        row[rows[0].index("verdict")] = "yn"[number % 2]
        row[rows[0].index("note")] = "très sûr"
    with sheet.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    done = genfilt(db, "ingest", "--reviews", str(sheet))
    assert done.returncode == 0, done.stderr
    with Store(db, read_only=True) as store:
        assert store.rows(
            "SELECT note, verdict, count(*) FROM reviews GROUP BY ALL ORDER BY 2"
        ) == [
            ("très sûr", 0, 2),
            ("très sûr", 1, 2),
        ]


def test_sql_without_a_query_lists_the_views_with_their_comments(tmp_path: Path) -> None:
    done = genfilt(tmp_path / "none.duckdb", "sql", "--format", "csv", given="")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["name"] for row in rows[:3]] == [
        "query_product_corrections",
        "image_title_corrections",
        "positives",
    ]
    assert all(row["comment"] for row in rows)
    assert {"products", "failures"} <= {row["name"] for row in rows}


def test_a_misspelt_table_names_the_view_that_was_meant(titles_only: Path) -> None:
    done = genfilt(titles_only, "sql", "SELECT * FROM corrections")
    assert done.returncode == 1
    assert "did you mean query_product_corrections?" in done.stderr


@pytest.mark.parametrize(("step", "remedy"), STEPS)
def test_a_step_that_runs_too_early_names_the_missing_one(
    tmp_path: Path, step: str, remedy: str
) -> None:
    db = tmp_path / "t.duckdb"
    done = genfilt(db, step)
    assert done.returncode == 1
    assert "run genfilt ingest" in done.stderr
    assert not db.exists()
    queries = write_csv(tmp_path / "q.csv", "query_id,query", [("1", "mug")])
    assert genfilt(db, "ingest", "--queries", queries).returncode == 0
    done = genfilt(db, step)
    assert done.returncode == 1
    assert remedy in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("status",), ("report",), ("export", "positives", "--out", "x.csv"),
              ("sql", "FROM queries")]
)  # fmt: skip
def test_reading_what_is_not_there_names_ingest(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = genfilt(tmp_path / "none.duckdb", *words)
    assert done.returncode == 1
    assert "run genfilt ingest" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission_is_named(titles_only: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    done = genfilt(titles_only, "export", "positives", "--out", str(tmp_path / "x.csv"))
    assert done.returncode == 1
    assert "cannot be written (Permission denied)" in done.stderr


def test_a_pipe_that_is_closed_early_is_no_error(titles_only: Path) -> None:
    line = (
        f"GENFILT_DB={titles_only} {sys.executable} -c 'from genfilt.cli.app import main; main()' "
        "sql 'SELECT a.range FROM range(200000) a' --format csv | head -1; "
        "echo ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["range", "0"]
    assert done.stderr == ""
