"""Rows of the products and queries tables, one content an id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.arrays import Rows
from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.ingest.columns import ROWS_AT_A_TIME, SourceRows, first_of_each
from genfilt.ingest.picture_fields import picture_names
from genfilt.ingest.pictures import Found
from genfilt.store.failures import Failure
from genfilt.store.keys import content_split, query_key, text_key

SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
MAX_LISTED_IDS = 10  # a message names no more

Failures = list[tuple[str, Failure]]
FindPictures = Callable[[pa.ChunkedArray, pa.ChunkedArray], Found]


def prepare_products(
    rows: SourceRows, embedded: Path, find: FindPictures
) -> tuple[pa.Table, Failures]:
    """Return rows for the products table, and the pictures that were not found by product id.

    Args:
        rows: product_id, title and perhaps image, category, split.
        embedded: where pictures that come as bytes are written.
        find: finds the pictures of ids (N,) by their names (N,).

    Raises:
        UserError: a row has no id, or ids have two contents.
    """
    rows.required("product_id")
    images, failures = picture_names(rows, embedded)
    rows = rows.replaced("image", images)
    rows = rows.replaced("title", pc.fill_null(rows.column("title"), ""))
    rows = one_content_per_id(rows, "product_id", ("title", "image"))
    found = find(rows.column("product_id"), rows.column("image"))
    titles = rows.column("title")
    if untitled := pc.sum(pc.equal(titles, "")).as_py():
        say(f"{rows.name}: {untitled:,} products have no title")
    table = pa.table(
        {
            "product_id": rows.column("product_id"),
            "title": titles,
            "image": found.paths,
            "category": rows.column("category"),
            "title_key": mapped(titles, text_key),
            "image_key": found.keys,
        }
    )
    splits = pc.coalesce(parse_splits(rows), _content_splits(table))
    return table.append_column("split", splits), [*failures, *found.failures]


def prepare_queries(rows: SourceRows) -> pa.Table:
    """Return rows for the queries table.

    Raises:
        UserError: a row has no id, or ids have two texts.
    """
    rows.required("query_id")
    rows = rows.replaced("query", pc.fill_null(rows.column("query"), ""))
    rows = one_content_per_id(rows, "query_id", ("query",))
    queries = rows.column("query")
    return pa.table(
        {
            "query_id": rows.column("query_id"),
            "query": queries,
            "query_key": mapped(queries, query_key),
        }
    )


def one_content_per_id(rows: SourceRows, column: str, contents: Sequence[str]) -> SourceRows:
    """Return the first row of each id, in the source's order.

    Raises:
        UserError: ids stand for two contents; they are listed.
    """
    if rows.table.num_rows == 0:
        return rows
    first, earlier = first_of_each(rows.column(column))
    repeated = np.flatnonzero(earlier != np.arange(len(earlier)))
    if not len(repeated):
        return rows
    differs = np.zeros(len(repeated), bool)
    for name in contents:
        values = pc.fill_null(rows.column(name), "")
        differs |= pc.not_equal(
            values.take(pa.array(repeated)), values.take(pa.array(earlier[repeated]))
        ).to_numpy()
    if differs.any():
        raise _two_contents(rows, column, contents, repeated[differs], earlier)
    return SourceRows(rows.name, rows.table.take(pa.array(np.sort(first))))


def _two_contents(
    rows: SourceRows, column: str, contents: Sequence[str], places: Rows, earlier: Rows
) -> UserError:
    ids = rows.column(column)
    listed: dict[str, str] = {}
    for place in places:
        one, other = int(earlier[place]), int(place)
        name = str(ids[other].as_py())
        if name not in listed and len(listed) < MAX_LISTED_IDS:
            texts = _difference(rows, contents, one, other)
            listed[name] = (
                f"{name} ({texts[0]!r} in data row {rows.number(one)}, "
                f"{texts[1]!r} in row {rows.number(other)})"
            )
    total = len(set(ids.take(pa.array(places)).to_pylist()))
    more = f" and {total - len(listed):,} more" if total > len(listed) else ""
    return UserError(
        f"{rows.name} gives {column} {', '.join(listed.values())}{more} two contents; keep one "
        f"row of each, or map {column} to a column that tells them apart."
    )


def _difference(rows: SourceRows, contents: Sequence[str], one: int, other: int) -> tuple[str, str]:
    """Return the first content in which two rows differ, of each."""
    values = [
        (str(column[one].as_py() or ""), str(column[other].as_py() or ""))
        for column in map(rows.column, contents)
    ]
    return next(pair for pair in values if pair[0] != pair[1])


def parse_splits(rows: SourceRows) -> pa.ChunkedArray:
    """Return train, val or test for each row, NULL where the source has none.

    Raises:
        UserError: a split has another name.
    """
    words = pc.utf8_lower(rows.column("split"))
    split: pa.ChunkedArray = mapped_words(words, SPLITS)
    unknown = pc.and_(pc.is_valid(words), pc.is_null(split))
    if pc.any(unknown).as_py():
        row = pc.index(unknown, True).as_py()
        raise UserError(
            f"{rows.name} has the split {rows.column('split')[row].as_py()!r} in data row "
            f"{rows.number(row)}; use train, val or test."
        )
    return split


def mapped_words(words: pa.ChunkedArray, meanings: dict[str, str]) -> pa.ChunkedArray:
    """Return what each word means, NULL for NULL and for a word without a meaning."""
    places = pc.index_in(words, value_set=pa.array(list(meanings), pa.string()))
    return pa.chunked_array([pa.array(list(meanings.values()), pa.string())]).take(places)


def mapped(values: pa.ChunkedArray, function: Callable[[str], str]) -> pa.ChunkedArray:
    """Return a function of each text (N,), some rows at a time; NULL stays."""

    def chunks() -> Iterator[pa.Array]:
        for start in range(0, len(values), ROWS_AT_A_TIME):
            part = values.slice(start, ROWS_AT_A_TIME).to_pylist()
            yield pa.array([None if text is None else function(text) for text in part], pa.string())

    return pa.chunked_array(chunks(), pa.string())


def _content_splits(table: pa.Table) -> pa.ChunkedArray:
    joined = pc.binary_join_element_wise(
        table["title_key"], pc.fill_null(table["image_key"], ""), " "
    )

    def split(keys: str) -> str:
        title, _, image = keys.partition(" ")
        return content_split(title, image or None)

    return mapped(joined, split)
