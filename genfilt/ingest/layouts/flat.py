"""One table of query, title, image and label or clicks: a row a pair.

Rows without ids get them from their content; rows with a label are judgements, the others are
clicks, one each where no column says how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.ingest.ingest import Sources
from genfilt.ingest.readers import read_source, require_columns
from genfilt.ingest.validate import text_column
from genfilt.store.keys import text_key

if TYPE_CHECKING:
    from genfilt.ingest.layouts import KeepPicture

PRODUCT = ("product_id", "title", "image", "category")
PAIR = ("query_id", "product_id")


def read(source: str, aliases: Mapping[str, str], keep: KeepPicture) -> Sources:
    """Read a file with the columns query and title, and perhaps image, label, clicks, split,
    category, query_id and product_id.
    """
    table = read_source(source, aliases)
    require_columns(table, ["query", "title"], source)
    if "image" in table.column_names:
        table = _with(table, "image", [keep(image) for image in table["image"].to_pylist()])
    queries = text_column(table, "query", source, required=True)
    if "query_id" not in table.column_names:
        table = _with(table, "query_id", [text_key(str(query)) for query in queries])
    if "product_id" not in table.column_names:
        table = _with(table, "product_id", _product_ids(table, source))
    labels = text_column(table, "label", source)
    judged = pa.array([bool(label) for label in labels])
    return Sources(
        products=_columns(table, PRODUCT),
        queries=_columns(table, ("query_id", "query")),
        clicks=_rows(table, pc.invert(judged), (*PAIR, "clicks", "split")),
        labels=_rows(table, judged, (*PAIR, "label", "grade", "split")),
    )


def _product_ids(table: pa.Table, source: str) -> list[str]:
    titles, images = text_column(table, "title", source), text_column(table, "image", source)
    pairs = zip(titles, images, strict=True)
    return [text_key(f"{title or ''}\n{image or ''}") for title, image in pairs]


def _with(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    array = pa.array(values, pa.string())
    if column in table.column_names:
        return table.set_column(table.column_names.index(column), column, array)
    return table.append_column(column, array)


def _columns(table: pa.Table, wanted: tuple[str, ...]) -> pa.Table:
    return table.select([name for name in wanted if name in table.column_names])


def _rows(table: pa.Table, chosen: pa.Array, wanted: tuple[str, ...]) -> pa.Table | None:
    rows = _columns(table, wanted).filter(chosen)
    return rows if rows.num_rows else None
