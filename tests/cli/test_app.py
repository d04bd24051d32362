from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shop_files import write_shop

LINE = "import sys; from genfilt.cli.app import main; main()"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "genfilt.duckdb"


def genfilt(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a user does."""
    command = [sys.executable, "-c", LINE, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def ingested(tmp_path: Path, db: Path) -> subprocess.CompletedProcess[str]:
    options = write_shop(tmp_path)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return genfilt("ingest", *words, "--db", str(db))


def test_the_main_job_from_files_to_sql(tmp_path: Path, db: Path) -> None:
    assert ingested(tmp_path, db).returncode == 0
    extracted = genfilt("extract", "--db", str(db))
    assert extracted.returncode == 0, extracted.stderr
    assert "lexicon-" in extracted.stderr
    assert "neighbours-" in extracted.stderr
    filtered = genfilt("filter", "--sigma", "0.3", "--db", str(db))
    assert filtered.returncode == 0, filtered.stderr
    assert "Try: " not in filtered.stderr
    assert "No picture was matched with another product's title" in filtered.stderr
    counts = [line.split(maxsplit=1) for line in filtered.stderr.splitlines()[-8:-1]]
    assert [name for _, name in counts][:3] == [
        "query-product candidates",
        "image-title candidates",
        "query-product corrections",
    ]
    assert all(number.isdigit() and len(name) < 80 for number, name in counts)
    nothing = genfilt("filter", "--sigma", "0.99", "--db", str(db))
    assert "No pair reaches sigma 0.99" in nothing.stderr.splitlines()[-1]
    genfilt("filter", "--sigma", "0.3", "--db", str(db))
    answer = genfilt(
        "sql", "SELECT count(*) AS n FROM qp_candidates", "--format", "json", "--db", str(db)
    )
    assert json.loads(answer.stdout)[0]["n"] > 0
    status = genfilt("status", "--format", "csv", "--db", str(db))
    rows = {row["what"]: row for row in csv.DictReader(io.StringIO(status.stdout))}
    assert rows["products"]["count"] == "5"
    assert rows["titles without attributes"]["count"] == "0"
    assert "sigma 0.3" in rows["filter"]["detail"]
    again = genfilt("extract", "--db", str(db))
    assert "0 titles read, 0 pictures described" in again.stderr


def test_answers_stand_alone_on_standard_output(tmp_path: Path, db: Path) -> None:
    ingested(tmp_path, db)
    query = "SELECT query_id, query FROM queries ORDER BY 1 LIMIT 1"
    by_format = {
        form: genfilt("sql", query, "--format", form, "--db", str(db)).stdout
        for form in ("table", "json", "csv")
    }
    assert by_format["csv"] == "query_id,query\nq1,red hoodie\n"
    assert json.loads(by_format["json"]) == [{"query_id": "q1", "query": "red hoodie"}]
    assert by_format["table"].split() == [
        "query_id",
        "query",
        "-" * 8,
        "-" * 10,
        "q1",
        "red",
        "hoodie",
    ]
    piped = genfilt("sql", "--format", "csv", "--db", str(db), given=query)
    assert piped.stdout == by_format["csv"]
    out = tmp_path / "answer.parquet"
    written = genfilt("sql", query, "--out", str(out), "--db", str(db))
    assert written.stdout == ""
    assert pq.read_table(out).to_pylist() == [{"query_id": "q1", "query": "red hoodie"}]


@pytest.mark.parametrize(
    "query",
    [
        "COPY queries TO 'leak.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "ATTACH 'other.duckdb'",
        "DELETE FROM queries",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_sql_reaches_nothing_but_the_tables(tmp_path: Path, db: Path, query: str) -> None:
    ingested(tmp_path, db)
    refused = genfilt("sql", query, "--db", str(db))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "genfilt sql only reads genfilt's own tables" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_users_fault_is_one_sentence_and_an_exit_code(tmp_path: Path, db: Path) -> None:
    missing = genfilt("status", "--db", str(db))
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert missing.stderr.startswith("genfilt: There is no database at")
    wrong = genfilt("filter", "--sigma", "2", "--db", str(db))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert genfilt("no-such-command").returncode == 2
    ingested(tmp_path, db)
    nothing = genfilt("filter", "--db", str(db))
    assert "run genfilt extract" in nothing.stderr
    assert nothing.returncode == 1


def test_items_that_fail_make_the_exit_code_three(tmp_path: Path, db: Path) -> None:
    options = write_shop(tmp_path)
    (tmp_path / "images" / "p3.png").unlink()
    done = genfilt(
        "ingest", "--products", options["products"], "--images", options["images"], "--db", str(db)
    )
    assert done.returncode == 3
    assert "1 failed" in done.stderr
    found = genfilt(
        "sql", "SELECT item_key, reason FROM failures", "--format", "csv", "--db", str(db)
    )
    assert found.stdout == "item_key,reason\np3,missing picture\n"


def test_every_run_is_written_down(tmp_path: Path, db: Path) -> None:
    ingested(tmp_path, db)
    genfilt("filter", "--db", str(db))
    runs = genfilt(
        "sql",
        "SELECT command, status FROM runs ORDER BY run_id",
        "--format",
        "csv",
        "--db",
        str(db),
    )
    assert runs.stdout == "command,status\ningest,done\nfilter,failed\n"


@pytest.mark.parametrize("words", [["--help"], ["sql", "--help"], ["--version"]])
def test_help_whose_reader_has_gone_is_no_failure(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", LINE, *words], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
