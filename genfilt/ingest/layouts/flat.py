"""One table of query, title, image and label or clicks: a row a pair.

Rows without ids get them from their content. A row with a label is a judgement; clicks are counted
by the column clicks, or one a row where the table has neither labels nor clicks. A row with
neither value is no verdict, but its query and product are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.errors import UsageError
from genfilt.ingest.columns import clean_column
from genfilt.ingest.readers import read_source, require_columns
from genfilt.ingest.sources import COLUMNS, REQUIRED, Sources
from genfilt.store.keys import text_key

if TYPE_CHECKING:
    from genfilt.ingest.layouts import KeepPicture

VERDICT_COLUMNS = {"labels": "label", "reviews": "verdict"}
PAIR = ("query_id", "product_id")
EXPECTED = tuple(dict.fromkeys(name for names in COLUMNS.values() for name in names))


def read(source: str, given: Sources, keep: KeepPicture) -> Sources:
    """Read a file with the columns query and title, and perhaps image, label, clicks, split,
    category, query_id and product_id.

    Raises:
        UsageError: the file has the columns of another table.
        UserError: a column is missing.
    """
    table = read_source(
        source,
        given.aliases,
        delimiter=given.delimiter,
        encoding=given.encoding,
        known=EXPECTED,
    )
    _check_kind(table, source)
    require_columns(table, ["query", "title"], source)
    if "image" in table.column_names:
        images = [keep(image.as_py()) for chunk in table["image"].chunks for image in chunk]
        table = _with(table, "image", pa.array(images, pa.string()))
    if "query_id" not in table.column_names:
        table = _with(table, "query_id", _keys(table, ("query",), source))
    if "product_id" not in table.column_names:
        table = _with(table, "product_id", _keys(table, ("title", "image"), source))
    queries = _columns(table, ("query_id", "query"))
    labels = clicks = None
    if "label" in table.column_names:
        labels = _columns(table, (*PAIR, "label", "grade", "split"))
    if "clicks" in table.column_names or labels is None:
        clicks = _columns(table, (*PAIR, "clicks", "split"))
        if labels is not None:
            judged = pc.is_valid(clean_column(table, "label", source))
            clicks = clicks.filter(pc.invert(judged))
    return Sources(products=_columns(table, COLUMNS["products"]), queries=queries,
                   clicks=clicks, labels=labels)  # fmt: skip


def _check_kind(table: pa.Table, source: str) -> None:
    """Refuse a file that is plainly one of the five tables, with the option that reads it."""
    names = set(table.column_names)
    kind = None
    if {"product_id", "title"} <= names and "query" not in names:
        kind = "products"
    elif "product_id" in names and "title" not in names and names & {"query", "query_id"}:
        kind = next((k for k, c in VERDICT_COLUMNS.items() if c in names), "clicks")
    elif names.issuperset(REQUIRED["queries"]) and "title" not in names:
        kind = "queries"
    if kind is not None:
        raise UsageError(f"{source} has the columns of {kind}; give it as --{kind} {source}.")


def _keys(table: pa.Table, columns: tuple[str, ...], source: str) -> pa.Array:
    """Return ids (N,) made from the content of columns, NULL for a row without any."""
    texts = [
        clean_column(table, name, source).to_pylist()
        if name in table.column_names
        else [None] * table.num_rows
        for name in columns
    ]
    rows = zip(*texts, strict=True)
    ids = [text_key("\n".join(value or "" for value in row)) if any(row) else None for row in rows]
    return pa.array(ids, pa.string())


def _with(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    if column in table.column_names:
        return table.set_column(table.column_names.index(column), column, values)
    return table.append_column(column, values)


def _columns(table: pa.Table, wanted: tuple[str, ...]) -> pa.Table:
    return table.select([name for name in wanted if name in table.column_names])
