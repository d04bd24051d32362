from __future__ import annotations

import random

import pyarrow as pa

from genfilt.store.keys import query_key, text_key
from genfilt.store.numbering import (
    forget_candidates,
    number_described,
    number_products,
    numbered_queries,
)
from genfilt.store.store import Store

TITLES = tuple(f"title {n}" for n in range(8))
SPELLINGS = ("mug", "Mug", "MUG", "red mug", "Red Mug", "kettle")


def put_products(store: Store, titles: dict[str, str]) -> None:
    store.insert(
        "products",
        pa.table(
            {
                "product_id": list(titles),
                "title": list(titles.values()),
                "split": ["train"] * len(titles),
                "title_key": [text_key(title) for title in titles.values()],
            }
        ),
        replace=True,
    )
    number_products(store)


def put_queries(store: Store, queries: dict[str, str]) -> None:
    rows = {
        "query_id": list(queries),
        "query": list(queries.values()),
        "query_key": [query_key(query) for query in queries.values()],
    }
    with numbered_queries(store):
        store.insert("queries", pa.table(rows), replace=True)


def describe(store: Store, captions: dict[str, str | None]) -> None:
    """Give every product the feature texts "title" and its caption, and number them."""
    store.connection.execute(
        "CREATE OR REPLACE TEMP TABLE described AS "
        "SELECT p, min(title) AS written, min(title) AS title_text, NULL::VARCHAR AS image_text "
        "FROM product_no JOIN products USING (product_id) GROUP BY p"
    )
    for title, caption in captions.items():
        store.rows("UPDATE described SET image_text = ? WHERE written = ?", [caption, title])
    number_described(store)


def test_equal_contents_share_numbers() -> None:
    with Store() as store:
        put_products(store, {"a": "mug", "b": "mug", "c": "kettle"})
        put_queries(store, {"q": "Mug", "r": "mug", "s": "kettle"})
        describe(store, {"mug": "a mug", "kettle": "a mug"})
        numbers = dict(store.rows("SELECT product_id, p FROM product_no"))
        assert numbers["a"] == numbers["b"] != numbers["c"]
        asked = dict(store.rows("SELECT query_id, q FROM query_no"))
        assert asked["q"] == asked["r"] != asked["s"]
        assert store.rows("SELECT f_title = f, f_image FROM features ORDER BY f") == [
            (True, 0),
            (True, 0),
        ]


def test_forgotten_numbers_take_their_candidates_along() -> None:
    with Store() as store:
        put_products(store, {"a": "mug", "b": "kettle"})
        put_queries(store, {"q": "mug"})
        describe(store, {"mug": "a mug", "kettle": "a kettle"})
        for f in (0, 1):
            store.rows("INSERT INTO qp_candidates VALUES (1, 0, ?, 1, 1, 1, 1, false, NULL)", [f])
            store.rows("INSERT INTO it_candidates VALUES (1, ?, 0, 1, 1)", [f])
        put_products(store, {"b": "mug"})
        describe(store, {"mug": "a mug"})
        forget_candidates(store)
        assert store.rows("SELECT q, f FROM qp_candidates") == [(0, 0)]
        assert store.rows("SELECT f_image, f_title FROM it_candidates") == [(0, 0)]
        put_queries(store, {"q": "kettle"})
        describe(store, {"mug": "a mug"})
        forget_candidates(store)
        assert store.rows("FROM qp_candidates") == []


def test_a_number_is_never_given_again() -> None:
    """Whatever is renamed, replaced and forgotten, a number stands for one content for ever."""
    with Store() as store:
        meanings: dict[tuple[str, int], set[object]] = {}
        for turn in range(60):
            rng = random.Random(turn)
            put_products(store, {rng.choice("abcd"): rng.choice(TITLES) for _ in range(3)})
            put_queries(store, {rng.choice("xyz"): rng.choice(SPELLINGS) for _ in range(2)})
            captions = {title: rng.choice((None, "red", "blue")) for title in TITLES}
            describe(store, captions)
            if turn % 7 == 6:  # the largest numbers are gone
                store.rows("DELETE FROM query_keys")
                store.rows("DELETE FROM product_keys")
                store.rows("DELETE FROM query_no")
                store.rows("DELETE FROM product_no")
                describe(store, {})
                continue
            spelling = "SELECT q, min(query) FROM query_no JOIN queries USING (query_id) GROUP BY q"
            content = "SELECT p, min(title) FROM product_no JOIN products USING (product_id)"
            for kind, sql in (
                ("q", spelling),
                ("p", f"{content} GROUP BY p"),
                ("f", "SELECT f, (written, title_text, image_text)::VARCHAR FROM features"),
            ):
                for number, meaning in store.rows(sql):
                    meanings.setdefault((kind, number), set()).add(meaning)
        assert all(len(found) == 1 for found in meanings.values())
        assert len(meanings) > 150
        for kind in "qpf":
            largest = max(number for of, number in meanings if of == kind)
            assert int(store.meta(f"last_{kind}") or -1) >= largest
