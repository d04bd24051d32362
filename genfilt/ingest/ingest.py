"""Step 1: the user's catalogue, queries, clicks, labels and reviews into the tables.

Everything is read and checked before the one transaction that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from genfilt.common.duckdb_file import MEMORY
from genfilt.common.errors import UsageError
from genfilt.generators.protocols import Failure
from genfilt.ingest.pictures import PictureFolders, find_pictures, keep_embedded
from genfilt.ingest.readers import read_source, require_columns
from genfilt.ingest.validate import (
    keep_known,
    one_content_per_id,
    parse_clicks,
    parse_labels,
    parse_reviews,
    parse_splits,
    text_column,
)
from genfilt.store.failures import write_failures
from genfilt.store.keys import content_split, query_key, text_key
from genfilt.store.store import Store


@dataclass(frozen=True)
class Sources:
    """What one call of ingest was given; any subset.

    The five tables may be paths (see `sources.read_source`) or Arrow tables already read.
    """

    products: str | pa.Table | None = None
    queries: str | pa.Table | None = None
    clicks: str | pa.Table | None = None
    labels: str | pa.Table | None = None
    reviews: str | pa.Table | None = None
    images: Path | None = None
    download: Path | None = None  # where pictures that are addresses go
    aliases: Mapping[str, str] = field(default_factory=dict)  # our column -> the source's
    label_map: Mapping[str, int] = field(default_factory=dict)  # the source's word -> 0 or 1
    min_clicks: int = 1


@dataclass
class _Prepared:
    tables: dict[str, pa.Table] = field(default_factory=dict)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)  # of pictures, by their option


def ingest(store: Store, sources: Sources) -> dict[str, int]:
    """Write what the sources hold; return rows by table and the items that failed.

    Idempotent: a row replaces the one with its id (clicks too: a file tells the whole of a
    pair's clicks). Only what an item's content decides becomes stale when it changes.

    Raises:
        UserError: a structural fault; nothing has been written then.
    """
    prepared = _prepare(store, sources)
    with store.transaction():
        counts = {name: table.num_rows for name, table in prepared.tables.items()}
        for name, folder in prepared.folders.items():
            store.set_meta(name, str(folder))
        if sources.label_map:
            store.set_meta("label_map", repr(dict(sources.label_map)))
        _write(store, prepared)
        write_failures(store, "ingest", "", prepared.failures)
    return {**counts, "failed": len(prepared.failures)}


def _prepare(store: Store, sources: Sources) -> _Prepared:
    prepared = _Prepared()
    if sources.images is not None:
        if not sources.images.is_dir():
            raise UsageError(f"--images {sources.images} is no folder; name the pictures' folder.")
        prepared.folders["images"] = sources.images.resolve()
    if sources.download is not None:
        prepared.folders["download"] = sources.download.resolve()
    places = _places(store, sources, prepared.folders)
    if sources.products is not None:
        table, name = _table(sources.products, "products", sources.aliases)
        prepared.tables["products"], prepared.failures = prepare_products(table, name, places)
    elif prepared.folders:
        prepared.tables["products"], prepared.failures = _pictures_again(store, places)
    if sources.queries is not None:
        prepared.tables["queries"] = prepare_queries(
            *_table(sources.queries, "queries", sources.aliases)
        )
    if sources.clicks is not None:
        table, name = _table(sources.clicks, "clicks", sources.aliases)
        prepared.tables["clicks"] = parse_clicks(table, name, sources.min_clicks)
    if sources.labels is not None:
        table, name = _table(sources.labels, "labels", sources.aliases)
        prepared.tables["labels"] = parse_labels(table, name, sources.label_map)
    if sources.reviews is not None:
        prepared.tables["reviews"] = parse_reviews(
            *_table(sources.reviews, "reviews", sources.aliases)
        )
    if not prepared.tables:
        raise UsageError(
            "Nothing to ingest; give --products, --queries, --clicks, --labels, --reviews "
            "or --images."
        )
    return prepared


COLUMNS = {
    "products": ("product_id", "title", "image", "category", "split"),
    "queries": ("query_id", "query"),
    "clicks": ("query_id", "product_id", "clicks", "split"),
    "labels": ("query_id", "product_id", "label", "grade", "split"),
    "reviews": ("query_id", "product_id", "verdict", "reviewer", "note", "at"),
}
OPTIONAL = {"image", "category", "split", "clicks", "grade", "reviewer", "note", "at"}


def _table(source: str | pa.Table, kind: str, aliases: Mapping[str, str]) -> tuple[pa.Table, str]:
    """Read a source with the aliases that concern this kind; check its columns."""
    name = source if isinstance(source, str) else kind
    if isinstance(source, str):
        mine = {ours: theirs for ours, theirs in aliases.items() if ours in COLUMNS[kind]}
        source = read_source(source, mine)
    required = [column for column in COLUMNS[kind] if column not in OPTIONAL]
    require_columns(source, required, name)
    return source, name


def _places(store: Store, sources: Sources, folders: Mapping[str, Path]) -> PictureFolders:
    """Return the folders that this call or an earlier one named."""
    images, downloaded = (
        folders.get(name) or (Path(known) if (known := store.meta(name)) else None)
        for name in ("images", "download")
    )
    if images is None:
        named = isinstance(sources.products, str) and Path(sources.products).exists()
        images = Path(str(sources.products)).resolve().parent if named else Path.cwd()
    return PictureFolders(
        images, picture_folder(store), downloaded, fetch=sources.download is not None
    )


def picture_folder(store: Store) -> Path:
    """Return where pictures that come as bytes are written: beside the database."""
    base = Path.cwd() if store.path == MEMORY else Path(store.path).resolve().parent
    return base / "pictures"


def prepare_products(
    table: pa.Table, source: str, places: PictureFolders
) -> tuple[pa.Table, list[tuple[str, Failure]]]:
    """Return rows for the products table, and the pictures that were not found by product id.

    Args:
        table: product_id, title and perhaps image, category, split.
        source: what messages call it.
        places: where its pictures lie.
    """
    ids = text_column(table, "product_id", source, required=True)
    titles = [title or "" for title in text_column(table, "title", source)]
    images = [keep_embedded(image, places.embedded) for image in _plain(table, "image")]
    rows = one_content_per_id(ids, list(zip(titles, images, strict=True)), "product_id", source)
    picked = [rows[product_id] for product_id in rows]
    titles, images = [titles[row] for row in picked], [images[row] for row in picked]
    found = find_pictures(list(rows), images, places)
    title_keys = [text_key(title) for title in titles]
    categories = text_column(table, "category", source)
    splits = parse_splits(table, source)
    columns = {
        "product_id": list(rows),
        "title": titles,
        "image": found.paths,
        "category": [categories[row] for row in picked],
        "split": [
            splits[row] or content_split(title, image)
            for row, title, image in zip(picked, title_keys, found.keys, strict=True)
        ],
        "title_key": title_keys,
        "image_key": found.keys,
    }
    text = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    return pa.table(text), found.failures


def _plain(table: pa.Table, column: str) -> list[object]:
    if column not in table.column_names:
        return [None] * table.num_rows
    values: list[object] = table[column].to_pylist()
    return values


def _pictures_again(
    store: Store, places: PictureFolders
) -> tuple[pa.Table, list[tuple[str, Failure]]]:
    """Look for the pictures of the catalogue that is already there."""
    known = store.arrow(
        "SELECT product_id, title, image, category, split, title_key FROM products "
        "ORDER BY product_id"
    )
    if known.num_rows == 0:
        raise UsageError("Pictures alone need a catalogue; give --products as well.")
    images = [_relative(image, places.root) for image in known["image"].to_pylist()]
    found = find_pictures(known["product_id"].to_pylist(), images, places)
    table = known.set_column(2, "image", pa.array(found.paths, pa.string()))
    return table.append_column("image_key", pa.array(found.keys, pa.string())), found.failures


def _relative(image: str | None, root: Path) -> str | None:
    """A picture that was found keeps its place below the root when both moved together."""
    if image is None or not Path(image).is_absolute() or Path(image).is_relative_to(root):
        return image
    parts = Path(image).parts
    if root.name in parts:
        below = parts[len(parts) - parts[::-1].index(root.name) :]
        return str(Path(*below)) if below else image
    return image


def prepare_queries(table: pa.Table, source: str) -> pa.Table:
    """Return rows for the queries table."""
    ids = text_column(table, "query_id", source, required=True)
    queries = [query or "" for query in text_column(table, "query", source)]
    rows = one_content_per_id(ids, queries, "query_id", source)
    queries = [queries[row] for row in rows.values()]
    keys = [query_key(query) for query in queries]
    return pa.table({"query_id": list(rows), "query": queries, "query_key": keys})


def _write(store: Store, prepared: _Prepared) -> None:
    tables = prepared.tables
    if "products" in tables:
        _write_products(store, tables["products"])
    if "queries" in tables:
        _write_queries(store, tables["queries"])
    for name in ("clicks", "labels", "reviews"):
        if name in tables:
            known, failures = keep_known(store, tables[name], name)
            prepared.failures.extend(failures)
            store.insert(name, known, replace=True)


def _write_products(store: Store, products: pa.Table) -> None:
    with store.registered("arrived", products):
        # Clicks and labels that had their product's split move with it, so that none of a val
        # product stays train.
        for table in ("clicks", "labels"):
            store.connection.execute(
                f"UPDATE {table} SET split = a.split "
                f"FROM arrived a JOIN products o USING (product_id) "
                f"WHERE {table}.product_id = a.product_id "
                f"AND {table}.split = o.split AND a.split <> o.split"
            )
        store.connection.execute(
            "DELETE FROM failures WHERE step = 'ingest' "
            "AND item_key IN (SELECT product_id FROM arrived)"
        )
    store.insert("products", products, replace=True)
    store.connection.execute(NUMBER_PRODUCTS)
    store.connection.execute(PLACE_PRODUCTS)


def _write_queries(store: Store, queries: pa.Table) -> None:
    store.connection.execute(SPOKEN_QUERIES)
    store.insert("queries", queries, replace=True)
    store.connection.execute(RENAMED_QUERIES)
    store.connection.execute(NUMBER_QUERIES)
    store.connection.execute(PLACE_QUERIES)


NUMBER_PRODUCTS = """
INSERT INTO product_keys
SELECT title_key, image_key, last.p + row_number() OVER (ORDER BY first)
FROM (SELECT title_key, coalesce(image_key, '') AS image_key, min(product_id) AS first
      FROM products GROUP BY ALL)
ANTI JOIN product_keys USING (title_key, image_key),
     (SELECT coalesce(max(p), -1) AS p FROM product_keys) last
"""
# Equal contents share their f, which the next filter looks at again.
PLACE_PRODUCTS = """
INSERT OR REPLACE INTO product_no
SELECT product_id, k.p, known.f
FROM products
JOIN product_keys k ON k.title_key = products.title_key
                   AND k.image_key = coalesce(products.image_key, '')
LEFT JOIN (SELECT p, max(f) AS f FROM product_no GROUP BY p) known ON known.p = k.p
ANTI JOIN product_no same ON same.product_id = products.product_id AND same.p = k.p
"""
# Of the spellings that share a key the first in order is embedded. Where another one takes its
# place the key gets a new number, since what was joined under the old one is another text's.
SPOKEN_QUERIES = """
CREATE OR REPLACE TEMP TABLE spoken AS
SELECT query_key, min(query) AS query FROM queries GROUP BY query_key
"""
RENAMED_QUERIES = """
DELETE FROM query_keys WHERE query_key IN (
    SELECT query_key FROM spoken
    LEFT JOIN (SELECT query_key, min(query) AS query FROM queries GROUP BY query_key) now_spoken
        USING (query_key)
    WHERE now_spoken.query IS DISTINCT FROM spoken.query
)
"""
NUMBER_QUERIES = """
INSERT INTO query_keys
SELECT query_key, last.q + row_number() OVER (ORDER BY first)
FROM (SELECT query_key, min(query_id) AS first FROM queries GROUP BY ALL)
ANTI JOIN query_keys USING (query_key),
     (SELECT greatest((SELECT coalesce(max(q), -1) FROM query_keys),
                      (SELECT coalesce(max(joined_q), -1) FROM filters)) AS q) last
"""
PLACE_QUERIES = """
INSERT OR REPLACE INTO query_no
SELECT query_id, k.q FROM queries JOIN query_keys k USING (query_key)
ANTI JOIN query_no same ON same.query_id = queries.query_id AND same.q = k.q
"""
