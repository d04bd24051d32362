from __future__ import annotations

import csv
import json
import os
import pty
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.common.output import OutputFormat, check_ending, interval, show, show_one, write_rows

ROWS = [{"id": "=1", "n": 1, "x": None}, {"id": 'a "b",\rc', "n": 2, "x": 0.5}]


def test_rows_are_printed_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, OutputFormat.json)
    assert json.loads(capsys.readouterr().out) == ROWS
    show(ROWS, OutputFormat.csv)
    text = capsys.readouterr().out
    assert text == 'id,n,x\n=1,1,\n"a ""b"",\rc",2,0.5\n'
    show([], OutputFormat.csv)
    assert capsys.readouterr().out == ""


def test_one_answer_is_printed_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"a": 1, "b": [0.5, None]})
    assert json.loads(capsys.readouterr().out) == {"a": 1, "b": [0.5, None]}
    show_one({"a": 1, "b": "x"}, OutputFormat.csv)
    assert capsys.readouterr().out == "a,b\n1,x\n"
    show_one({"a": 1, "b": "x"}, OutputFormat.table)
    assert capsys.readouterr().out == "a  1\nb  x\n"


def test_an_interval_that_is_not_defined_is_empty() -> None:
    assert interval(0.25, 0.75) == "0.250 to 0.750"
    assert interval(None, None) == ""
    assert interval(0.1, 0.2, 1) == "0.1 to 0.2"


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        show([{"id": "1", "title": "word " * 20}])
        text = os.read(parent, 10_000).decode()
    os.close(parent)
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("word") == 20


def test_the_ending_decides_the_format(tmp_path: Path) -> None:
    rows = pa.table({"id": ["=1", 'a\r\n"b'], "at": [date(2026, 1, 2), None], "l": [[1], [2, 3]]})
    for ending in ("parquet", "csv", "jsonl", "CSV"):
        write_rows(rows, tmp_path / f"x.{ending}")
    assert pq.read_table(tmp_path / "x.parquet").equals(rows)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "at", "l"], ["=1", "2026-01-02", "[1]"], ["a\r\n\"b", "", "[2, 3]"]]  # fmt: skip
    lines = (tmp_path / "x.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "=1", "at": "2026-01-02", "l": [1]},
        {"id": 'a\r\n"b', "at": None, "l": [2, 3]},
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_stream_is_written_batch_by_batch(tmp_path: Path, ending: str) -> None:
    path, before = tmp_path / f"x.{ending}", pa.total_allocated_bytes()
    size = 100_000 if ending == "parquet" else 1000  # 19 MB in all

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 24 * size, size):
            assert pa.total_allocated_bytes() - before < 10_000_000
            yield pa.record_batch({"a": np.arange(start, start + size)})

    stream = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches())
    assert write_rows(stream, path) == 24 * size
    if ending == "parquet":
        assert pq.read_table(path)["a"].to_pylist() == list(range(24 * size))
    else:
        assert len(path.read_text("utf-8").splitlines()) == 24 * size + (ending == "csv")


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.csv.gz", ".csv"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"--out must end in .parquet, .csv or .jsonl"):
        write_rows(pa.table({"a": [1]}), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_one_ending_alone_can_be_asked_for(tmp_path: Path) -> None:
    check_ending(tmp_path / "r.html", (".html",))
    with pytest.raises(UsageError, match=r"--to must end in .html, "):
        check_ending(tmp_path / "r.csv", (".html",), "--to")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x.csv cannot be written"):
        write_rows(pa.table({"a": [1]}), tmp_path / "file" / "x.csv")
