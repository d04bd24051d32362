"""Columns of a source as clean text: trimmed, with one form of an id and of a missing value."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.arrays import Bools
from genfilt.common.console import complain, say
from genfilt.common.errors import UserError
from genfilt.ingest.formats.json_rows import NESTED
from genfilt.ingest.readers import require_columns
from genfilt.ingest.sources import COLUMNS

ROW = "data row"  # the column that numbers a source's rows from 1
ROWS_AT_A_TIME = 1 << 16
# How programs write that a value is missing. In titles, queries and ids a word such as "none" may
# be meant, so there the forms are fewer.
MISSING_VALUES = pa.array(["\\n", "nan", "null", "none", "<na>", "#n/a", "nat"])
MISSING_IDS = pa.array(["\\N", "NaN", "nan", "NULL", "null", "<NA>", "#N/A", "NaT"])
MISSING_TEXTS = pa.array(["\\N", "NaN", "NULL", "<NA>", "#N/A"])
WHOLE_FLOAT = r"^(-?[0-9]+)\.0$"  # an id that a program read as a number
EXACT = float(1 << 53)  # from here on not every whole number is a float
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
TEXTS = ("title", "query", "note")
IDS = ("query_id", "product_id")
PICTURES = "image"


@dataclass(frozen=True)
class SourceRows:
    """The rows of one source that are not blank.

    Attributes:
        name: what messages call it.
        table: the columns of its kind, as text with NULL for a missing value; image as it came.
    """

    name: str
    table: pa.Table

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column (N,), all NULL where the source has none."""
        if name in self.table.column_names:
            return self.table[name]
        return pa.chunked_array([pa.nulls(self.table.num_rows, pa.string())])

    def has(self, name: str) -> bool:
        """Tell whether the source has a column."""
        return name in self.table.column_names

    def number(self, row: int) -> int:
        """Return the number in the source of a row given by its place (0 to N - 1)."""
        return int(self.table[ROW][row].as_py())

    def required(self, name: str) -> pa.ChunkedArray:
        """Return a column (N,) in which every row has a value.

        Raises:
            UserError: a row has none.
        """
        column = self.column(name)
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise UserError(
                f"{self.name} has no {name} in data row {self.number(row)}, nor in "
                f"{column.null_count - 1:,} others; fill it in or drop it."
                if column.null_count > 1
                else f"{self.name} has no {name} in data row {self.number(row)}; "
                f"fill it in or drop it."
            )
        return column

    def filter(self, kept: pa.ChunkedArray | pa.Array) -> SourceRows:
        """Return the rows where `kept` (N,) is true."""
        return SourceRows(self.name, self.table.filter(kept))

    def replaced(self, name: str, values: pa.ChunkedArray | pa.Array) -> SourceRows:
        """Return the rows with a column (N,) set or added."""
        if self.has(name):
            place = self.table.column_names.index(name)
            return SourceRows(self.name, self.table.set_column(place, name, values))
        return SourceRows(self.name, self.table.append_column(name, values))


def clean(table: pa.Table, kind: str, source: str) -> SourceRows:
    """Return a source's rows with the columns of its kind; blank rows are left out with a remark.

    Raises:
        UserError: a value is a list, an object or no text.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    blank: Bools = np.ones(table.num_rows, bool)
    for name in COLUMNS[kind]:
        if name not in table.column_names:
            continue
        if name == PICTURES:
            columns[name] = table[name]
            filled = table[name] if is_picture_data(table, name) else as_text(table[name])
        else:
            columns[name] = filled = clean_column(table, name, source)
        blank &= pc.is_null(filled).to_numpy()
    numbers = np.arange(1, table.num_rows + 1)
    rows = SourceRows(source, pa.table({**columns, ROW: numbers}))
    if not table.num_rows:
        complain(f"WARNING: {source} has a header and no rows")
    if blank.any() and columns:
        say(f"{source}: {int(blank.sum()):,} blank rows are left out")
        return rows.filter(pa.array(~blank))
    return rows


def clean_column(table: pa.Table, name: str, source: str) -> pa.ChunkedArray:
    """Return one of our columns as text with NULL for a missing value.

    Raises:
        UserError: the column is not there, or a value is a list, an object or no text.
    """
    require_columns(table, [name], source)
    if is_nested(table, name):
        column = table[name]
        row = pc.index(pc.is_valid(column), True).as_py()
        if row >= 0:
            raise UserError(
                f"{source} has lists or objects in the column {name} (data row {row + 1} or "
                f"below); give plain text."
            )
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    try:
        text = as_text(table[name])
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{source} has bytes in the column {name} that are no UTF-8 text; mend that column."
        ) from error
    if name in IDS:
        text = pc.replace_substring_regex(text, WHOLE_FLOAT, r"\1")
    if name in IDS:
        missing = pc.is_in(text, value_set=MISSING_IDS)
    elif name in TEXTS:
        missing = pc.is_in(text, value_set=MISSING_TEXTS)
    else:
        missing = pc.is_in(pc.utf8_lower(text), value_set=MISSING_VALUES)
    if pc.any(missing).as_py():
        text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    return _unescaped(text) if name == "title" else text


def is_nested(table: pa.Table, name: str) -> bool:
    """Tell whether a column holds lists or objects."""
    field = table.schema.field(name)
    return pa.types.is_nested(field.type) or NESTED in (field.metadata or {})


def is_picture_data(table: pa.Table, name: str) -> bool:
    """Tell whether a column holds bytes, lists or objects, and not the names of pictures."""
    kind = table.schema.field(name).type
    return is_nested(table, name) or bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a flat column as trimmed text, NULL where it is blank; whole floats without .0.

    Raises:
        pa.ArrowInvalid: bytes that are no UTF-8.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_floating(kind):
        return _float_text(column)
    if kind in (pa.string(), pa.large_string(), pa.string_view()):
        # Parquet files are not checked when they are read; the cast from bytes checks.
        column = column.cast(pa.large_binary())
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _float_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    numbers = column.cast(pa.float64())
    missing = pc.is_nan(numbers)
    whole = pc.and_(pc.equal(numbers, pc.floor(numbers)), pc.less(pc.abs(numbers), EXACT))
    digits = pc.if_else(whole, numbers, None).cast(pa.int64()).cast(pa.string())
    text = pc.coalesce(digits, numbers.cast(pa.string()))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


def _unescaped(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with HTML entities as the characters that they stand for."""
    chunks = []
    for chunk in text.chunks:
        found = pc.match_substring_regex(chunk, r"&[A-Za-z#][A-Za-z0-9]*;")
        if pc.any(found).as_py():
            decoded = [unescape(value) for value in chunk.filter(found).to_pylist()]
            chunk = pc.replace_with_mask(chunk, found, pa.array(decoded, pa.string()))
        chunks.append(chunk)
    return pa.chunked_array(chunks, pa.string())


def unescape(title: str) -> str:
    """Return a title with its HTML entities decoded; some shops encode them twice.

    Only entities that end in a semicolon count: "Black&not White" has none.
    """
    for _ in range(2):
        title = ENTITY.sub(lambda found: html.unescape(found[0]), title)
    return title.replace("\xa0", " ").strip()


def first_of_each(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return (places of the first row of each id (U,), for each row the place of its id's (N,))."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first, first[inverse]
