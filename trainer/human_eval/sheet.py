"""The sheet that people judge: CSV to fill in, a page to judge on offline, and the CSV's reading.

Neither shows which model chose a product. Catalogue text is hostile input: no spreadsheet takes it
for a formula, no browser for markup.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.console import track
from genfilt.common.errors import UsageError, UserError
from genfilt.common.html import plain
from genfilt.common.local_page.skeleton import offline_page
from genfilt.common.photos import thumbnail
from genfilt.common.sheets import read_rows
from genfilt.common.sheets import write_sheet as write_csv

GRADES = ("Excellent", "Fair", "Bad")
PACKAGE = "trainer.human_eval"
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
class SheetItem:
    """A row as the page gets it.

    Attributes:
        picture: number of the picture among the sheet's different ones, None without one.
        mine: the judge's grade, as a place in GRADES, or None.
    """

    row: str
    query: str
    title: str
    picture: str | None
    mine: int | None = None


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


def answers_of(sheet: Path) -> Path:
    """Return the path of the file with the grades that are given on the served page."""
    return sheet.with_suffix(".answers.jsonl")


def check_sheet(sheet: Path, *, overwrite: bool = False) -> None:
    """Refuse to write a sheet where it would replace what people filled in, or its key.

    Raises:
        UsageError: the path does not end in .csv; or, without `overwrite`, a file is there that
            is filled in, was judged on the served page, or is no sheet of ours.
    """
    if sheet.suffix.lower() != ".csv":
        raise UsageError(f"--to must end in .csv, since the sheet is a CSV file, got {sheet}.")
    if overwrite or (
        not answers_of(sheet).exists() and (not sheet.exists() or _is_unfilled(sheet))
    ):
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
    """Write the sheet as CSV to `path` and the page beside it, and return the page's path.

    Grades of a sheet that was there before are removed: they are of other rows.

    Raises:
        UserError: they cannot be written.
    """
    page = page_of(path)
    cells = ((r.row, r.query, r.title, r.image, None, None, None) for r in rows)
    write_csv(path, COLUMNS, cells, option="--to")
    answers_of(path).unlink(missing_ok=True)
    items, images = sheet_items(rows)
    pictures = {}
    with track("pictures", len(images)) as advance:
        for number, image in images.items():
            pictures[number] = thumbnail(image)
            advance(1)
    data = {
        # Under this name the browser keeps the answers: another sheet's page must not show them.
        "page": secrets.token_hex(8),
        "items": [asdict(item) for item in items],
        "pictures": pictures,
    }
    values = {"sheet": path.name, "grades": GRADES, "person": ""}
    write_text(page, offline_page(PACKAGE, "judge", values, data), option="--to")
    return page


def sheet_items(rows: Sequence[ShownProduct]) -> tuple[list[SheetItem], dict[str, str]]:
    """Return the rows as the page gets them, and their pictures' files by number."""
    numbers: dict[str, str] = {}
    items = []
    for row in rows:
        number = numbers.setdefault(row.image, str(len(numbers))) if row.image else None
        items.append(SheetItem(row.row, plain(row.query), plain(row.title, 500), number))
    return items, {number: image for image, number in numbers.items()}


def read_rows_to_judge(path: Path) -> list[ShownProduct]:
    """Return the rows of a sheet.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    rows = _read(path, ("row", "query", "title", "image"))
    return [ShownProduct(r["row"], r["query"], r["title"], r["image"] or None) for r in rows]


def read_sheet(path: Path) -> list[Judgement]:
    """Return the judgements of a filled sheet; rows without a verdict are left out.

    The judge is named in the column `judge`, else by the file. A grade may be shortened to its
    first letter.

    Raises:
        UserError: the file cannot be read, lacks a column, or holds another verdict.
    """
    rows = _read(path, ("row", "verdict"))
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


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        rows = read_rows(path)
    except OSError as error:
        raise UserError(f"The sheet {path} cannot be read ({error.strerror}).") from error
    for column in columns:
        if not rows or column not in rows[0]:
            raise UserError(
                f"The sheet {path} has no column '{column}'; give the CSV file that "
                "trainer judge export wrote, saved as CSV."
            )
    return rows
