from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.keys import text_key
from genfilt.store.store import Store

PRODUCTS = pa.table({"product_id": ["1", "2"], "title": ["Mug", "Cup"]})
CLICKS = pa.table(
    {"query": ["red mug", "Red  Mug ", "cup"], "product_id": ["1", "1", "2"], "clicks": [2, 1, 1]}
)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


def test_clicks_by_text_bring_their_queries(store: Store) -> None:
    counts = ingest(store, Sources(products=PRODUCTS, clicks=CLICKS))
    assert counts == {"products": 2, "queries": 3, "clicks": 3, "failed": 0}
    assert store.rows(
        "SELECT query_id, query, clicks FROM clicks JOIN queries USING (query_id) ORDER BY query"
    ) == [
        (text_key("Red  Mug"), "Red  Mug", 1),
        (text_key("cup"), "cup", 1),
        (text_key("red mug"), "red mug", 2),
    ]
    assert store.scalar("SELECT count(DISTINCT q) FROM query_no") == 2


@pytest.mark.parametrize("earlier", [False, True])
def test_texts_of_known_queries_have_their_ids(store: Store, earlier: bool) -> None:
    queries = pa.table({"query_id": ["q1"], "query": ["RED MUG"]})
    if earlier:
        ingest(store, Sources(queries=queries))
        ingest(store, Sources(products=PRODUCTS, clicks=CLICKS))
    else:
        ingest(store, Sources(products=PRODUCTS, clicks=CLICKS, queries=queries))
    assert store.rows("SELECT query_id, product_id, clicks FROM clicks ORDER BY clicks") == [
        (text_key("cup"), "2", 1),
        ("q1", "1", 3),
    ]
    assert store.rows("SELECT query FROM queries WHERE query_id = 'q1'") == [("RED MUG",)]


def test_ids_with_texts_bring_their_queries(store: Store) -> None:
    labels = pa.table(
        {"query_id": [7, 8], "query": ["mug", "cup"], "product_id": [1, 2], "label": [1, 0]}
    )
    counts = ingest(store, Sources(products=PRODUCTS, labels=labels, clicks=CLICKS))
    assert counts["labels"] == 2
    assert dict(store.rows("SELECT query_id, query FROM queries WHERE length(query_id) = 1")) == {
        "7": "mug",
        "8": "cup",
    }


def test_a_row_without_a_text_is_named(store: Store) -> None:
    clicks = pa.table({"query": ["mug", ""], "product_id": ["1", "2"]})
    with pytest.raises(UserError, match="no query in data row 2"):
        ingest(store, Sources(products=PRODUCTS, clicks=clicks))
