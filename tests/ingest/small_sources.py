"""Small catalogues and what ingest makes of them."""

from __future__ import annotations

from pathlib import Path

from genfilt.ingest.sources import Sources
from genfilt.store.store import Store

ALL = (
    "products",
    "queries",
    "clicks",
    "labels",
    "reviews",
    "query_no",
    "product_no",
    "query_keys",
    "product_keys",
    "failures",
)


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: store.rows(f"FROM {table} ORDER BY ALL") for table in ALL}


def contents(store: Store) -> dict[str, tuple[str, str, int]]:
    rows = store.rows(
        "SELECT product_id, title_key, image_key, p "
        "FROM products JOIN product_no USING (product_id)"
    )
    return {row[0]: row[1:] for row in rows}


def with_products(path: str, images: Path | None = None) -> Sources:
    return Sources(products=path, images=images)


FAULTS = {
    "a missing column": ("products", "product_id,name", [("a", "A")], "no column title"),
    "one id, two titles": (
        "products",
        "product_id,title",
        [("a", "A"), ("a", "B")],
        r"product_id a \('A' in data row 1, 'B' in row 2\) two contents",
    ),
    "one query id, two texts": (
        "queries",
        "query_id,query",
        [("a", "x"), ("a", "y")],
        r"query_id a \('x' in data row 1, 'y' in row 2\) two contents",
    ),
    "a row without an id": (
        "products",
        "product_id,title",
        [("", "A")],
        "no product_id in data row 1",
    ),
    "an unknown label": ("labels", "query_id,product_id,label", [("q1", "p1", "maybe")], "'maybe'"),
    "two splits of a pair": (
        "labels",
        "query_id,product_id,label,split",
        [("q1", "p1", 1, "train"), ("q1", "p1", 1, "val")],
        "q1 with product p1 two splits",
    ),
    "an unknown split": (
        "products",
        "product_id,title,split",
        [("a", "A", "blue")],
        "split 'blue'",
    ),
    "no number of clicks": (
        "clicks",
        "query_id,product_id,clicks",
        [("q1", "p1", "x")],
        "'x' clicks",
    ),
    "an unknown verdict": ("reviews", "query_id,product_id,verdict", [("q1", "p1", "7")], "'7'"),
}
