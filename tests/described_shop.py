"""A small shop in a store, its titles and pictures already described by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store, now

GENERATOR = "hand"

# product_id, title, core word, colour, caption (None: no picture was described), split
PRODUCTS = (
    ("p1", "Acme red cotton hoodie", "hoodie", "red", "a red hoodie", "train"),
    ("p2", "Borel hoodie", "hoodie", None, "a red hoodie", "train"),
    ("p3", "Acme blue mug", "mug", "blue", "a blue mug", "train"),
    ("p4", "Borel hoodie", "hoodie", None, "a red hoodie", "val"),
    ("p5", "Corvo kettle", "kettle", None, None, "train"),
    ("p6", "Something that has no name", None, None, "a red hoodie", "test"),
)
QUERIES = (("q1", "red hoodie"), ("q2", "RED hoodie"), ("q3", "blue mug"), ("q4", "kettle"))


def describe(store: Store, products: Sequence[Sequence[str | None]] = PRODUCTS) -> None:
    """Ingest products and write what a generator would say of them."""
    columns = list(zip(*products, strict=True))
    ids, titles, core_words, colors, captions, splits = (list(column) for column in columns)
    ingest(store, Sources(products=pa.table({"product_id": ids, "title": titles, "split": splits})))
    keys = dict(store.rows("SELECT product_id, title_key FROM products"))
    read = {
        keys[i]: {"core_word": core_word, "color": color}
        for i, core_word, color in zip(ids, core_words, colors, strict=True)
    }
    store.insert(
        "attributes",
        pa.Table.from_pylist(
            [{"title_key": key, **_said(), **value} for key, value in read.items()]
        ),
        replace=True,
    )
    # A picture's key is made up here: one for each product.
    for product_id, caption in zip(ids, captions, strict=True):
        store.connection.execute(
            "UPDATE products SET image_key = 'i-' || product_id WHERE product_id = ?", [product_id]
        )
        if caption is not None:
            row = {"image_key": f"i-{product_id}", "caption": caption, **_said()}
            store.insert("captions", pa.Table.from_pylist([row]), replace=True)
    renumber(store)
    for name in ("llm", "captioner"):
        store.set_meta(name, GENERATOR)
        store.set_meta(f"{name}_prompt_key", "k")


def renumber(store: Store) -> None:
    """Number the products again after their keys were changed by hand."""
    from genfilt.store.numbering import number_products

    number_products(store)


def _said() -> dict[str, object]:
    return {"prompt_key": "k", "generator": GENERATOR, "raw": "said by hand", "created_at": now()}


def ask(store: Store, queries: Sequence[tuple[str, str]] = QUERIES) -> None:
    """Ingest queries."""
    ids, texts = zip(*queries, strict=True)
    ingest(store, Sources(queries=pa.table({"query_id": list(ids), "query": list(texts)})))


def judge(store: Store, table: str, rows: Sequence[dict[str, object]]) -> None:
    """Ingest clicks, labels or reviews."""
    ingest(store, Sources(**{table: pa.Table.from_pylist(list(rows))}))


def described_shop() -> Store:
    """Return the shop in memory."""
    store = Store()
    describe(store)
    ask(store)
    return store
