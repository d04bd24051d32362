"""The picture that a field names: the first of several, as a path, an address or bytes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.atomic import write_bytes
from genfilt.ingest.columns import ROWS_AT_A_TIME, SourceRows, as_text, is_picture_data
from genfilt.store.failures import Failure
from genfilt.store.keys import bytes_key

# What the picture of an object is called, the best one first: datasets' own two, then those of
# shops' interfaces and of Amazon's reviews.
PICTURE_KEYS = (
    "bytes", "path", "url", "src", "image_url", "imageurl", "image", "original", "hi_res", "large",
    "full", "href", "link", "file", "filename", "name", "medium", "small", "thumb", "thumbnail",
)  # fmt: skip
MAX_DEPTH = 8  # lists within objects within lists
MAX_SHOWN = 200  # characters of an object that names no picture
MAX_LITERAL = 100_000  # characters of a field that are read as JSON or as a Python list
ADDRESS = re.compile(r"(?:https?:)?//[^/\s]", re.IGNORECASE)
# An address may hold a comma, so only a separator before the next address ends it.
NEXT_ADDRESS = re.compile(r"\s*\|\s*|\s+|[,;]\s*(?=(?:https?:)?//)|[,;]$", re.IGNORECASE)
SPECIAL = r"[\[{|,;\s\"']|^//"  # a field without any of these names one picture as it stands
MISSING = frozenset(("", "\\n", "nan", "null", "none", "<na>", "#n/a", "nat", "[]", "{}"))

Named = str | bytes | None


def picture_names(
    rows: SourceRows, folder: Path
) -> tuple[pa.ChunkedArray, list[tuple[str, Failure]]]:
    """Return what names each row's picture (N,), and the fields that name none, by product id.

    Pictures that come as bytes are written to `folder`, each under its key.
    """
    if not rows.has("image"):
        return rows.column("image"), []
    column = rows.table["image"]
    if not is_picture_data(rows.table, "image"):
        text = as_text(column)
        special = pc.fill_null(pc.match_substring_regex(text, SPECIAL), False)
        missing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING)))
        text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
        if not pc.any(special).as_py():
            return text, []
        column = text
    names: list[pa.Array] = []
    failures: list[tuple[str, Failure]] = []
    for start in range(0, len(column), ROWS_AT_A_TIME):
        part: list[str | None] = []
        for place, value in enumerate(column.slice(start, ROWS_AT_A_TIME)):
            name = _kept(value, folder)
            if isinstance(name, Failure):
                product_id = str(rows.column("product_id")[start + place].as_py())
                failures.append((product_id, name))
                name = None
            part.append(name)
        names.append(pa.array(part, pa.string()))
    return pa.chunked_array(names, pa.string()), failures


def _kept(value: pa.Scalar, folder: Path) -> str | Failure | None:
    try:
        return keep_picture(value.as_py(), folder)
    except (ValueError, OSError) as error:  # invalid UTF-8 in a list; a folder not writable
        if isinstance(error, OSError):
            raise
        return Failure("unreadable picture name", str(error)[:200])


def keep_picture(value: object, folder: Path) -> str | None:
    """Return what names a field's picture; one that came as bytes is written to `folder`."""
    picture = first_picture(value)
    if not isinstance(picture, bytes):
        return picture
    path = folder / bytes_key(picture)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, picture)
    return str(path)


def first_picture(value: object, depth: int = 0) -> Named:
    """Return the first picture of a field: its bytes, path or address, None where there is none.

    Args:
        value: text (with several, separated or as JSON), bytes, a list, or an object such as
            {"bytes", "path"} or {"url"}.
        depth: of the lists and objects around it.
    """
    if value is None or isinstance(value, float) or depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return _first_of_text(value, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value) or None
    if isinstance(value, Mapping):
        return _first_of_object(value, depth)
    if isinstance(value, Sequence):
        found = (first_picture(each, depth + 1) for each in value)
        return next((each for each in found if each), None)
    return str(value)


def _first_of_object(value: Mapping[object, object], depth: int) -> Named:
    by_name = {str(key).lower(): each for key, each in value.items()}
    for key in PICTURE_KEYS:
        if key in by_name and (found := first_picture(by_name[key], depth + 1)):
            return found
    # An object that is not blank but of unknown keys must not pass for a product without a picture.
    filled = {key: each for key, each in value.items() if each is not None}
    return str(filled)[:MAX_SHOWN] if filled and not by_name.keys() & set(PICTURE_KEYS) else None


def _first_of_text(value: str, depth: int) -> Named:
    text = value.strip()
    if text.lower() in MISSING:
        return None
    if text[0] in "[{" and len(text) <= MAX_LITERAL and (found := _literal(text)) is not None:
        return first_picture(found, depth + 1)
    if ADDRESS.match(text):
        address = NEXT_ADDRESS.split(text, maxsplit=1)[0]
        return f"https:{address}" if address.startswith("//") else address
    return text


def _literal(text: str) -> object | None:
    """Return JSON, or a list as Python prints one; None for other text."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return found if isinstance(found, list | tuple | dict) else None
