"""Delimited text (CSV, TSV) with separator and quoting found, every value the text that it is.

A file is read whole or not at all: a row that has more or fewer values than the header stops the
reading with its line. Quoting is decided for the whole file, never by its first rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import islice
from pathlib import Path

import pyarrow as pa

from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.formats.text_files import TextFile

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
SPELLED = {"\\t": "\t", "tab": "\t", **{name: sign for sign, name in SEPARATORS.items()}}
SAMPLE_ROWS = 500  # by which the separator is chosen; the whole file is checked against it
ROWS_AT_A_TIME = 1 << 16
MAX_VALUE = 16 << 20  # characters; a longer value is a quote that was never closed
EXCEL_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?[\r\n]*", re.IGNORECASE)
ESCAPED_QUOTE = re.compile(r'(?<!\\)(\\+)"')  # the lookbehind keeps a long run of them linear

Row = list[str]


class Quoting(Enum):
    """What a quote at the start of a value means."""

    doubled = "a quote inside quotes is doubled"
    backslash = "a quote inside quotes has a backslash before it"
    none = "a quote is a character like any other"


class MalformedError(Exception):
    """A row that does not fit the header or the quoting."""

    def __init__(self, line: int, cause: str) -> None:
        super().__init__(cause)
        self.line, self.cause = line, cause


def read_delimited(
    path: Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    known: Collection[str] = (),
) -> pa.Table:
    """Read a delimited text file with a header; every column is text.

    Args:
        path: the file; of the separators that fit, .tsv prefers the tab and others the comma.
        delimiter: one character, or a name such as tab; None to find it.
        encoding: see `TextFile`.
        known: column names that are expected; they decide between separators.

    Raises:
        UsageError: the delimiter is not one character.
        UserError: the file is empty or a row does not fit, with line, cause and remedy.
    """
    file = TextFile(path, encoding)
    reader = _DelimitedFile(file, _separator(file, delimiter, known))
    try:
        return reader.read()
    except UnicodeError as error:
        raise file.bad_encoding(error) from error


class _DelimitedFile:
    def __init__(self, file: TextFile, separator: str) -> None:
        self.file = file
        self.separator = separator

    def read(self) -> pa.Table:
        """Read with the first quoting that fits the whole file.

        Tab-separated logs hold bare quotes: where every line of one has as many values as the
        header, a quoted value that spans lines would be several rows read as one.
        """
        try:
            table = self._parse(Quoting.doubled)
        except MalformedError as fault:
            for quoting in (Quoting.backslash, Quoting.none):
                try:
                    return self._parse(quoting)
                except MalformedError:
                    continue
            raise self._error(fault) from fault
        if self.separator == "\t" and table.num_columns > 1 and self._lines() > table.num_rows + 1:
            try:
                by_line = self._parse(Quoting.none)
            except MalformedError:
                return table
            return by_line if by_line.num_rows > table.num_rows else table
        return table

    def _lines(self) -> int:
        with self.file.open() as text:
            return sum(not line.isspace() for line in text)

    def _parse(self, quoting: Quoting) -> pa.Table:
        names: list[str] = []
        batches: list[pa.RecordBatch] = []
        with self.file.open() as text:
            rows = _reader(_content(text, quoting), self.separator, quoting)
            try:
                names = _header(rows)
                batches.extend(_columns(batch, names) for batch in _batches(rows))
            except (MalformedError, csv.Error) as error:
                raise self._located(quoting, len(names), str(error)) from error
        schema = pa.schema([(name, pa.string()) for name in names])
        return pa.Table.from_batches(batches, schema)

    def _located(self, quoting: Quoting, width: int, cause: str) -> MalformedError:
        """Return where the first row stands that does not fit."""
        start = 1
        with self.file.open() as text:
            rows = _reader(_content(text, quoting), self.separator, quoting)
            try:
                for row in rows:
                    if width and _filled(row) and _excess(row, width):
                        return MalformedError(
                            start, f"has {len(row)} values where the header has {width}"
                        )
                    start = rows.line_num + 1
            except csv.Error:
                return MalformedError(
                    start, "has a quote that is never closed, or text after a closing quote"
                )
        return MalformedError(start, cause)

    def _error(self, fault: MalformedError) -> UserError:
        name = SEPARATORS.get(self.separator, repr(self.separator))
        return UserError(
            f"{self.file.path}: line {fault.line} {fault.cause}; put a value that holds a {name}, "
            f'a quote or a line break in quotes (" inside as ""), or give the separator with '
            f"--delimiter if it is not the {name}."
        )


def _content(lines: Iterable[str], quoting: Quoting) -> Iterator[str]:
    """Yield the lines, the one by which Excel names the separator as a blank one."""
    numbered = iter(lines)
    for line in islice(numbered, 1):
        yield "\n" if EXCEL_LINE.fullmatch(line) else line
    yield from map(_double_quotes, numbered) if quoting is Quoting.backslash else numbered


def _double_quotes(line: str) -> str:
    """Write a quote after an odd number of backslashes as two quotes."""

    def doubled(found: re.Match[str]) -> str:
        backslashes = found[1]
        return backslashes[1:] + '""' if len(backslashes) % 2 else found[0]

    return ESCAPED_QUOTE.sub(doubled, line) if "\\" in line else line


class _Reader:
    """csv.reader with `line_num` typed."""

    def __init__(self, rows: Iterator[Row], line_number: Callable[[], int]) -> None:
        self._rows, self._line_number = rows, line_number

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    @property
    def line_num(self) -> int:
        return self._line_number()


def _reader(lines: Iterable[str], separator: str, quoting: Quoting) -> _Reader:
    csv.field_size_limit(MAX_VALUE)
    if quoting is Quoting.none:
        rows = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, quotechar=None)
    else:
        rows = csv.reader(lines, delimiter=separator, strict=True)
    return _Reader(rows, lambda: rows.line_num)


def _header(rows: Iterable[Row]) -> list[str]:
    """Return the names of the first row that is not blank; a column without one gets a number."""
    first = next(filter(_filled, rows), [])
    names = [name.strip() for name in first]
    while len(names) > 1 and not names[-1]:
        names.pop()
    return [name or f"column {place + 1}" for place, name in enumerate(names)]


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    filled = filter(_filled, rows)
    while batch := list(islice(filled, ROWS_AT_A_TIME)):
        yield batch


def _filled(row: Row) -> bool:
    return len(row) > 1 or (len(row) == 1 and bool(row[0].strip()))


def _columns(batch: list[Row], names: list[str]) -> pa.RecordBatch:
    width = len(names)
    if set(map(len, batch)) != {width}:
        for place, row in enumerate(batch):
            if _excess(row, width):
                raise MalformedError(0, "does not fit the header")
            batch[place] = row[:width]
    values = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
    return pa.record_batch(values, names=names)


def _excess(row: Row, width: int) -> bool:
    """Tell whether a row does not fit; blank values after the last column carry nothing."""
    return len(row) < width or any(value.strip() for value in row[width:])


def _separator(file: TextFile, named: str | None, known: Collection[str]) -> str:
    """Return the separator that was named, or that makes the most of the header and first rows."""
    with file.open() as text:
        try:
            lines = list(islice(text, SAMPLE_ROWS))
        except UnicodeError as error:
            raise file.bad_encoding(error) from error
    by_excel = EXCEL_LINE.fullmatch(lines[0]) if lines else None
    if named is not None:
        separator = SPELLED.get(named.lower(), named)
        if len(separator) != 1 or separator in '"\r\n':
            raise UsageError(f"--delimiter must be one character, got {named!r}; give ';' or tab.")
        return separator
    if by_excel:
        return by_excel[1]
    usual = "\t" if ".tsv" in [suffix.lower() for suffix in file.path.suffixes] else ","
    choices = [usual, *(sign for sign in SEPARATORS if sign != usual)]
    found = max(choices, key=lambda sign: _fit(lines, sign, known))
    if found != usual:
        say(f"{file.path} is separated by the {SEPARATORS[found]}")
    return found


def _fit(lines: list[str], separator: str, known: Collection[str]) -> tuple[int, float, int]:
    """Return how well a separator fits: expected names, share of rows of one width, columns."""
    csv.field_size_limit(MAX_VALUE)
    rows: list[Row] = []
    with suppress(csv.Error):  # a value cut off by the sample's end
        rows.extend(filter(_filled, csv.reader(lines, delimiter=separator)))
    header = [name.strip().lstrip("\ufeff") for name in rows[0]] if rows else []
    if len(header) < 2:
        return (0, 0.0, 1)
    widths = Counter(map(len, rows[1:]))
    share = widths[len(header)] / len(rows[1:]) if rows[1:] else 1.0
    return (sum(name in known for name in header), round(share, 2), len(header))
