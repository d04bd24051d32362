"""The sheet that people judge: as CSV to fill in and HTML to look at and print, and back.

It holds nothing that tells the models apart. Catalogue text is hostile input: no spreadsheet takes
it for a formula, no browser for markup.
"""

from __future__ import annotations

import base64
import csv
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from trainer.errors import TrainerError

GRADES = ("Excellent", "Fair", "Bad")
COLUMNS = ("row", "query", "title", "image", "verdict", "judge", "note")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
DELIMITERS = ",;\t"  # spreadsheets of many countries write semicolons
SIDE, QUALITY, PIXELS = 200, 72, 40_000_000  # of a picture in the page; a larger one is not opened
JOINERS = "\u200c\u200d"  # of which emoji and some scripts are made


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
        TrainerError: they cannot be written.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for shown in rows:
        cells = (shown.row, shown.query, shown.title, shown.image or "", "", "", "")
        writer.writerow([shield(cell) for cell in cells])
    page = path.with_suffix(".html")
    write_file(path, "\ufeff" + text.getvalue())  # the mark makes spreadsheets read UTF-8
    write_file(page, _page(rows, path.name))
    return page


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        TrainerError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise TrainerError(f"{path} cannot be written ({error}); give another --to.") from error


def read_sheet(path: Path) -> list[Answer]:
    """Return the verdicts of a filled sheet; rows without one are left out.

    The judge is named in the column `judge`, else by the file. A grade may be shortened to its
    first letter.

    Raises:
        TrainerError: the file cannot be read, lacks a column, or holds another verdict.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise TrainerError(f"The sheet {path} cannot be read ({error.strerror}).") from error
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
    names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
    for column in ("row", "verdict"):
        if column not in names:
            raise TrainerError(
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
    raise TrainerError(f"The verdict of {at} is '{said}'; give {', '.join(GRADES)} or nothing.")


def shield(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULAS) else cell


def plain(text: str, limit: int = 300) -> str:
    """Return a text without control characters and turns of direction, cut to `limit`."""
    kept = "".join(
        c if c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else " "
        for c in text[: 4 * limit]
    )
    words = " ".join(kept.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _page(rows: Iterable[Shown], sheet: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("trainer", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "picture": data_url}
    groups = [(query, list(group)) for query, group in groupby(rows, attrgetter("query"))]
    template = environment.get_template("judge.html.jinja")
    return template.render(groups=groups, sheet=sheet, grades=GRADES)


def data_url(path: str | None) -> str | None:
    """Return a picture as a small data URL, None where there is none that can be shown."""
    from PIL import Image

    from trainer.model.vision import on_white

    if path is None:
        return None
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > PIXELS:
                return None
            picture = on_white(opened)
        picture.thumbnail((SIDE, SIDE))
        held = BytesIO()
        picture.save(held, "JPEG", quality=QUALITY, optimize=True)
    except Exception:  # Pillow's readers raise whatever a broken file leads to
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
