"""The sheet that people judge: as CSV to fill in and HTML to look at and print, and back.

It holds nothing that tells the models apart. Catalogue text is hostile input: no spreadsheet takes
it for a formula, no browser for markup.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UserError
from genfilt.common.html import render
from genfilt.common.sheets import write_sheet as write_csv

GRADES = ("Excellent", "Fair", "Bad")
COLUMNS = ("row", "query", "title", "image", "verdict", "judge", "note")
DELIMITERS = ",;\t"  # spreadsheets of many countries write semicolons


@dataclass(frozen=True)
class Shown:
    """A product under a query, as a judge sees it."""

    row: str
    query: str
    title: str
    image: str | None


@dataclass(frozen=True)
class Answer:
    """What a judge says of a row; `grade` counts into GRADES, `at` says where it stands."""

    row: str
    judge: str
    grade: int
    at: str


def write_sheet(rows: Sequence[Shown], path: Path) -> Path:
    """Write the sheet as CSV to `path` and as HTML beside it, and return the page's path.

    Raises:
        UserError: they cannot be written.
    """
    page = path.with_suffix(".html")
    cells = ((r.row, r.query, r.title, r.image, None, None, None) for r in rows)
    write_csv(path, COLUMNS, cells, option="--to")
    write_text(page, _page(rows, path.name), option="--to")
    return page


def read_sheet(path: Path) -> list[Answer]:
    """Return the verdicts of a filled sheet; rows without one are left out.

    The judge is named in the column `judge`, else by the file. A grade may be shortened to its
    first letter.

    Raises:
        UserError: the file cannot be read, lacks a column, or holds another verdict.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"The sheet {path} cannot be read ({error.strerror}).") from error
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
    names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
    for column in ("row", "verdict"):
        if column not in names:
            raise UserError(
                f"The sheet {path} has no column '{column}'; fill in the CSV file that "
                "trainer judge export wrote, and save it as CSV."
            )
    answers = []
    for line in reader:
        said = (line[names["verdict"]] or "").strip()
        if said:
            row = (line[names["row"]] or "").strip()
            judge = ((line[names["judge"]] if "judge" in names else "") or "").strip()
            at = f"{path}, row {row}"
            answers.append(Answer(row, judge or path.stem, _grade(said, at), at))
    return answers


def _grade(said: str, at: str) -> int:
    for number, name in enumerate(GRADES):
        if said.casefold() in (name.casefold(), name[0].casefold()):
            return number
    raise UserError(f"The verdict of {at} is '{said}'; give {', '.join(GRADES)} or nothing.")


def _page(rows: Iterable[Shown], sheet: str) -> str:
    groups = [(query, list(group)) for query, group in groupby(rows, attrgetter("query"))]
    values = {"groups": groups, "sheet": sheet, "grades": GRADES}
    return render("trainer.human_eval", "judge.html.jinja", values)
