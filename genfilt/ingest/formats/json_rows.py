"""Rows of JSON: a value a line (JSON Lines), or one array of objects.

Numbers keep the digits that were written, so that an id is neither rounded nor overflows; a list
or an object stays JSON text, in a column that is marked as nested.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.ingest.formats.text_files import TextFile

ROWS_AT_A_TIME = 1 << 16
MAX_COLUMNS = 1000  # of names that nobody expects
NESTED = b"genfilt.nested"  # field metadata: the values hold lists or objects as JSON text

JsonRow = dict[str, object]


def read_json(path: Path, encoding: str | None = None, known: Collection[str] = ()) -> pa.Table:
    """Read a file of JSON objects; every column is text.

    Args:
        path: the file.
        encoding: see `TextFile`.
        known: column names that are expected; of the others the first MAX_COLUMNS are read, since
            objects keyed by an id have as many names as rows.

    Raises:
        UserError: the file is empty or a line is not an object, with the line.
    """
    file = TextFile(path, encoding, unicode_only=True)
    try:
        with file.open() as text:
            rows = _array(text.read(), path) if _is_array(file) else _lines(text, path)
            return _table(rows, path, known)
    except UnicodeDecodeError as error:
        raise file.bad_encoding(error) from error


def _is_array(file: TextFile) -> bool:
    return file.start().decode(file.encoding, "ignore").lstrip("\ufeff \t\r\n").startswith("[")


def _lines(lines: Iterable[str], path: Path) -> Iterator[JsonRow]:
    for number, line in enumerate(lines, start=1):
        if not line.isspace():
            yield _object(_parsed(line, f"{path}: line {number}"), f"{path}: line {number}")


def _array(text: str, path: Path) -> Iterator[JsonRow]:
    values = _parsed(text, str(path))
    assert isinstance(values, list)
    for number, value in enumerate(values, start=1):
        yield _object(value, f"{path}: element {number}")


def _parsed(text: str, place: str) -> object:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place} is not JSON ({error.msg} at character {error.pos + 1}); "
            f"give an object a line, or one array of objects."
        ) from error
    except RecursionError as error:
        raise UserError(f"{place} is nested too deeply to be read; flatten it.") from error


def _constant(word: str) -> str | None:
    return None if word == "NaN" else word


def _object(value: object, place: str) -> JsonRow:
    if not isinstance(value, dict):
        raise UserError(f"{place} is not an object with column names; give {{...}} there.")
    return value


def _table(rows: Iterator[JsonRow], path: Path, known: Collection[str]) -> pa.Table:
    nested: set[str] = set()
    tables = []
    names: dict[str, None] = {}
    while batch := list(islice(rows, ROWS_AT_A_TIME)):
        for row in batch:
            if fresh := row.keys() - names.keys():
                _add_names(names, [name for name in row if name in fresh], known, path)
        tables.append({name: _column(batch, name, nested, path) for name in names})
    if not tables:
        raise UserError(f"{path} holds no rows; give an object a line, or one array of objects.")
    schema = pa.schema(
        pa.field(name, pa.string(), metadata={NESTED: b"1"} if name in nested else None)
        for name in names
    )
    return pa.concat_tables([_filled(table, schema) for table in tables])


def _add_names(
    names: dict[str, None], fresh: Iterable[str], known: Collection[str], path: Path
) -> None:
    for name in fresh:
        if name in known or len(names) < MAX_COLUMNS:
            _check_whole(name, path, "a column's name")
            names[name] = None


def _check_whole(text: str, path: Path, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path} holds half of a character (\\ud800 to \\udfff) in {place}: "
            f"{text[:80]!r}; write the whole character."
        ) from error


def _filled(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    length = len(next(iter(columns.values()))) if columns else 0
    empty = pa.nulls(length, pa.string())
    return pa.table([columns.get(name, empty) for name in schema.names], schema=schema)


def _column(batch: list[JsonRow], name: str, nested: set[str], path: Path) -> pa.Array:
    values = [row.get(name) for row in batch]
    if not all(value is None or isinstance(value, str) for value in values):
        if any(isinstance(value, list | dict) for value in values):
            nested.add(name)
        values = [_text(value) for value in values]
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError as error:
        _check_whole(str(error.object), path, name)
        raise


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
