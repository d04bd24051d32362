"""CSV files that people edit in a spreadsheet: written without formulas, read back as saved."""

from __future__ import annotations

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from io import StringIO
from itertools import zip_longest
from pathlib import Path

from genfilt.common.atomic import write_text

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
BYTE_ORDER_MARK = "\ufeff"  # spreadsheets read a file that begins with it as UTF-8
SEPARATORS = ",;\t"  # spreadsheet programs of many countries write semicolons
LINE_BREAKS = str.maketrans(dict.fromkeys("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))


def write_sheet(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], option: str = "--out"
) -> None:
    """Write rows as a CSV file for spreadsheets, whole or not at all; None is an empty cell.

    Raises:
        UserError: the file cannot be written.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([shield(cell) for cell in row])
    write_text(path, BYTE_ORDER_MARK + text.getvalue(), option)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that a spreadsheet program saved, by column name.

    UTF-8 with or without a mark, UTF-16 with one and Windows' cp1252 are read, and commas,
    semicolons or tabs between fields. Names are trimmed and in lower case, cells trimmed and
    unshielded; a missing cell is empty.

    Raises:
        OSError: the file cannot be read.
    """
    text = _decoded(path.read_bytes())
    header = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    names = [name.strip().casefold() for name in next(reader, [])]
    return [
        dict(
            zip_longest(names, (unshield(cell.strip()) for cell in row[: len(names)]), fillvalue="")
        )
        for row in reader
        if any(cell.strip() for cell in row)
    ]


def _decoded(content: bytes) -> str:
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def shield(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula or for two rows.

    Text that begins like a formula, or with an apostrophe (which `unshield` removes), gets an
    apostrophe in front. Line breaks become blanks: some readers end a row at a bare CR.
    """
    if not isinstance(cell, str):
        return cell
    text = cell.translate(LINE_BREAKS)
    return f"'{text}" if cell.startswith((*FORMULA_STARTS, "'")) else text


def unshield(cell: str) -> str:
    """Return the text that `shield` was given, but for its line breaks."""
    return (
        cell[1:]
        if cell.startswith("'") and cell[1:].startswith((*FORMULA_STARTS, "'", " "))
        else cell
    )
