"""The sheet that people judge: CSV to fill in, an HTML page to look at and print, and its reading.

Neither shows which model chose a product. Catalogue text is hostile input: no spreadsheet takes it
for a formula, no browser for markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError, UserError
from genfilt.common.html import render
from genfilt.common.sheets import read_rows
from genfilt.common.sheets import write_sheet as write_csv

GRADES = ("Excellent", "Fair", "Bad")
COLUMNS = ("row", "query", "title", "image", "verdict", "judge", "note")
ENTERED = ("verdict", "judge", "note")  # the columns that people fill in


@dataclass(frozen=True)
class ShownProduct:
    """A product under a query, as a judge sees it."""

    row: str
    query: str
    title: str
    image: str | None


@dataclass(frozen=True)
class Judgement:
    """A judge's grade of a row; `grade` counts into GRADES, `place` names file and row."""

    row: str
    judge: str
    grade: int
    place: str


def page_of(sheet: Path) -> Path:
    """Return the path of the page that belongs to a sheet."""
    return sheet.with_suffix(".html")


def key_of(sheet: Path) -> Path:
    """Return the path of the key that belongs to a sheet."""
    return sheet.with_suffix(".key.json")


def check_sheet(sheet: Path, *, overwrite: bool = False) -> None:
    """Refuse to write a sheet where it would replace what people filled in, or its key.

    Raises:
        UsageError: the path does not end in .csv; or, without `overwrite`, a file is there that
            is filled in, or is no sheet of ours.
    """
    if sheet.suffix.lower() != ".csv":
        raise UsageError(f"--to must end in .csv, since the sheet is a CSV file, got {sheet}.")
    if overwrite or not sheet.exists() or _is_unfilled(sheet):
        return
    raise UsageError(
        f"--to {sheet} must not be a sheet with verdicts or another file; read it with trainer "
        "judge import and name another, or give --overwrite."
    )


def _is_unfilled(sheet: Path) -> bool:
    try:
        rows = read_rows(sheet)
    except OSError:  # a folder, say; writing will name the cause
        return False
    ours = all({"row", "verdict"} <= row.keys() for row in rows) and bool(rows)
    return ours and not any(row.get(name) for row in rows for name in ENTERED)


def write_sheet(rows: Sequence[ShownProduct], path: Path) -> Path:
    """Write the sheet as CSV to `path` and as HTML beside it, and return the page's path.

    Raises:
        UserError: they cannot be written.
    """
    page = page_of(path)
    cells = ((r.row, r.query, r.title, r.image, None, None, None) for r in rows)
    write_csv(path, COLUMNS, cells, option="--to")
    write_text(page, _page(rows, path.name), option="--to")
    return page


def read_sheet(path: Path) -> list[Judgement]:
    """Return the judgements of a filled sheet; rows without a verdict are left out.

    The judge is named in the column `judge`, else by the file. A grade may be shortened to its
    first letter.

    Raises:
        UserError: the file cannot be read, lacks a column, or holds another verdict.
    """
    try:
        rows = read_rows(path)
    except OSError as error:
        raise UserError(f"The sheet {path} cannot be read ({error.strerror}).") from error
    for column in ("row", "verdict"):
        if not rows or column not in rows[0]:
            raise UserError(
                f"The sheet {path} has no column '{column}'; fill in the CSV file that "
                "trainer judge export wrote, and save it as CSV."
            )
    judgements = []
    for row in rows:
        if row["verdict"]:
            place = f"{path}, row {row['row']}"
            judge = row.get("judge") or path.stem
            judgements.append(Judgement(row["row"], judge, _grade(row["verdict"], place), place))
    return judgements


def _grade(verdict: str, place: str) -> int:
    for number, name in enumerate(GRADES):
        if verdict.casefold() in (name.casefold(), name[0].casefold()):
            return number
    raise UserError(
        f"The verdict of {place} must be {', '.join(GRADES)} or empty, got '{verdict}'."
    )


def _page(rows: Iterable[ShownProduct], sheet: str) -> str:
    groups = [(query, list(group)) for query, group in groupby(rows, attrgetter("query"))]
    values = {"groups": groups, "sheet": sheet, "grades": GRADES}
    return render("trainer.human_eval", "judge.html.jinja", values)
