"""The sheet of corrections that people fill in, and the page of pictures beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError
from genfilt.common.html import render
from genfilt.common.photos import thumbnail
from genfilt.common.sheets import write_sheet as write_csv

COLUMNS = (
    *("query_id", "product_id", "query", "title", "attributes", "caption", "image"),
    *("score", "probability", "verdict", "reviewer", "note"),
)
PAGE_TITLE = "Corrections to review"
SEPARATORS = ",;\t"  # that spreadsheet programs save CSV with
PAGE_START_BYTES = 4000  # the title stands within these


def page_of(sheet: Path) -> Path:
    """Return the path of the page that belongs to a sheet."""
    return sheet.with_suffix(".html")


def check_sheet(sheet: Path, *, overwrite: bool = False) -> None:
    """Refuse to write a sheet where it, or its page, would replace what people made.

    Raises:
        UsageError: the path does not end in .csv; or, without `overwrite`, there is a sheet with
            verdicts, a file that is no sheet of ours, or a page of another kind.
    """
    if sheet.suffix.lower() != ".csv":
        raise UsageError(f"--out must end in .csv, since the sheet is a CSV file, got {sheet}.")
    if overwrite:
        return
    if sheet.exists() and not _is_unfilled(sheet):
        raise UsageError(
            f"--out {sheet} must not be a sheet with verdicts or another file; ingest it with "
            f"genfilt ingest --reviews and name another, or give --overwrite."
        )
    page = page_of(sheet)
    if page.exists() and PAGE_TITLE.encode() not in _start(page):
        raise UsageError(
            f"The page of --out {sheet} would replace {page}, which is another page; "
            f"name another sheet, or give --overwrite."
        )


def write_sheet(rows: Sequence[Mapping[str, object]], path: Path) -> Path:
    """Write the sheet as CSV to `path` and, to look at and print, as HTML beside it.

    Returns:
        The page's path.

    Raises:
        UserError: a file cannot be written.
    """
    write_csv(path, COLUMNS, [[row.get(column) for column in COLUMNS] for row in rows])
    page = page_of(path)
    shown = [{**row, "thumbnail": _thumbnail(row["image"])} for row in rows]
    values = {"rows": shown, "sheet": path.name, "title": PAGE_TITLE}
    write_text(page, render("genfilt.inspect", "sheet.html.jinja", values))
    return page


def _thumbnail(image: object) -> str | None:
    return thumbnail(image if isinstance(image, str) else None)


def _is_unfilled(sheet: Path) -> bool:
    """Tell whether a file is a sheet of ours in which no verdict, reviewer or note is entered."""
    try:
        content = sheet.read_bytes()
    except OSError:  # a folder, say; writing will name the cause
        return False
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # as spreadsheet programs save CSV
    header = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count)
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=separator)
    if not {"query_id", "product_id", "verdict"} <= set(rows.fieldnames or ()):
        return False
    entered = ("verdict", "reviewer", "note")
    return not any((row.get(name) or "").strip() for row in rows for name in entered)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(PAGE_START_BYTES)
    except OSError:
        return b""
