from __future__ import annotations

import csv
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError
from genfilt.inspect.review_sheet import COLUMNS, check_sheet, page_of, write_sheet

ROW = {
    **dict.fromkeys(COLUMNS),
    "query_id": "q1",
    "product_id": "=p1",
    "query": "red mug",
    "title": "Red mug\r=1+1",
    "score": 0.5,
    "probability": 1.0,
}


def fill(sheet: Path, separator: str, encoding: str, column: str = "verdict") -> None:
    """Enter a value and save the sheet as a spreadsheet program does."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[-1][column] = "1"
    with sheet.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_and_its_page_are_two_files(tmp_path: Path) -> None:
    sheet = tmp_path / "review.csv"
    assert write_sheet([ROW], sheet) == page_of(sheet) == tmp_path / "review.html"
    assert sheet.read_text("utf-8-sig").startswith("query_id,")
    assert "Red mug =1+1" in page_of(sheet).read_text("utf-8")
    assert "no picture" in page_of(sheet).read_text("utf-8")


@pytest.mark.parametrize("name", ["sheet.html", "sheet", "sheet.xlsx", "sheet.csv.html", ".csv"])
def test_a_sheet_that_is_not_named_csv_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"--out must end in \.csv"):
        check_sheet(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_filled_sheet_is_not_replaced(tmp_path: Path, separator: str, encoding: str) -> None:
    sheet = tmp_path / "review.csv"
    check_sheet(sheet)
    write_sheet([ROW, {**ROW, "title": "Café crème"}], sheet)
    check_sheet(sheet)  # nothing was entered yet
    fill(sheet, separator, encoding)
    with pytest.raises(UsageError, match="--overwrite"):
        check_sheet(sheet)
    check_sheet(sheet, overwrite=True)


@pytest.mark.parametrize("column", ["note", "reviewer"])
def test_a_note_alone_is_work_too(tmp_path: Path, column: str) -> None:
    sheet = tmp_path / "review.csv"
    write_sheet([ROW], sheet)
    fill(sheet, ",", "utf-8", column)
    with pytest.raises(UsageError, match="--overwrite"):
        check_sheet(sheet)


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("product_id,title\n1,Red mug\n")
    with pytest.raises(UsageError, match="or another file"):
        check_sheet(tmp_path / "products.csv")
    (tmp_path / "report.html").write_text("<title>What genfilt found</title>")
    with pytest.raises(UsageError, match="another page"):
        check_sheet(tmp_path / "report.csv")
    check_sheet(tmp_path / "report.csv", overwrite=True)
