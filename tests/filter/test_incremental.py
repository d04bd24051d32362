"""After any change only what is new is joined, and the result is that of a whole run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder, embed
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.generators.protocols import FIELDS
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.keys import bytes_key, normalize_query, text_key
from genfilt.store.store import Store, now

SETTINGS = FilterSettings(sigma=0.6, floor=0.45)
TITLES = (
    "red hoodie", "Acme hoodie", "blue mug", "kettle", "steel kettle", "red mug", "navy jacket",
    "running shoe",
)  # fmt: skip
CAPTIONS = ("a red hoodie", "a blue mug", "a kettle on white", "a red mug", "a navy jacket", None)
QUERIES = (
    "red hoodie", "Red Hoodie", "red  hoodie", "RED HOODIE", "mug", "blue mug", "Kettle", "kettle",
    "jacket", " ",
)  # fmt: skip

Product = tuple[str, "str | None"]  # title and caption


def take_in(store: Store, products: dict[str, Product], queries: dict[str, str]) -> None:
    """Ingest, and write what a generator would say; a picture's bytes are its caption."""
    if products:
        rows = [
            {"product_id": i, "title": title, "image": caption.encode() if caption else None,
             "split": "train"}
            for i, (title, caption) in products.items()
        ]  # fmt: skip
        schema = pa.schema([("product_id", pa.string()), ("title", pa.string()),
                            ("image", pa.binary()), ("split", pa.string())])  # fmt: skip
        ingest(store, Sources(products=pa.Table.from_pylist(rows, schema)))
        describe(store, products.values())
    if queries:
        table = pa.table({"query_id": list(queries), "query": list(queries.values())})
        ingest(store, Sources(queries=table))


def describe(store: Store, products: Iterable[Product]) -> None:
    said = {"prompt_key": "k", "generator": "hand", "raw": "", "created_at": now()}
    for title, caption in products:
        read = dict.fromkeys(FIELDS) | {"core_word": title.split()[-1], "color": title.split()[0]}
        rows = [{"title_key": text_key(title), **read, **said}]
        store.insert("attributes", pa.Table.from_pylist(rows), replace=True)
        if caption:
            rows = [{"image_key": bytes_key(caption.encode()), "caption": caption, **said}]
            store.insert("captions", pa.Table.from_pylist(rows), replace=True)
    for name in ("llm", "captioner"):
        store.set_meta(name, "hand")
        store.set_meta(f"{name}_prompt_key", "k")


RESULT = {
    "positives": "FROM positives ORDER BY ALL",
    "query-product": """
        SELECT query_id, product_id, q_i, q_t, cosine, score, vetoed
        FROM qp_candidates JOIN query_no USING (q) JOIN product_no USING (f) ORDER BY ALL""",
    "image-title": """
        SELECT i.product_id, t.product_id, i_t, score
        FROM it_candidates c
        JOIN features fi ON fi.f_image = c.f_image JOIN product_no i ON i.f = fi.f
        JOIN features ft ON ft.f_title = c.f_title JOIN product_no t ON t.f = ft.f ORDER BY ALL""",
    "corrections": "FROM query_product_corrections ORDER BY ALL",
    "titles": "FROM image_title_corrections ORDER BY ALL",
}


def result(store: Store) -> dict[str, list[Any]]:
    return {name: store.rows(sql) for name, sql in RESULT.items()}


@pytest.fixture(scope="module")
def vectors(embedder: Embedder) -> pa.Table:
    """Every text's vector: computed together, since a batch decides the last bit."""
    spoken = [f"{title.split()[0]} {title.split()[-1]}" for title in TITLES]
    texts = [*spoken, *TITLES, *(each for each in CAPTIONS if each), *map(normalize_query, QUERIES)]
    with Store() as store:
        embed(store, embedder, [text for text in dict.fromkeys(texts) if text])
        return store.arrow("FROM vectors")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vectors: pa.Table) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)  # where pictures go that came as bytes
    with Store() as opened:
        opened.insert("vectors", vectors)
        yield opened


def whole_run(store: Store, embedder: Embedder) -> dict[str, list[Any]]:
    """Filter the same data in a new database, with the vectors that are there already."""
    products = {
        i: (title, caption)
        for i, title, caption in store.rows(
            "SELECT product_id, title, caption FROM products LEFT JOIN captions USING (image_key)"
        )
    }
    with Store() as fresh:
        take_in(fresh, products, dict(store.rows("SELECT query_id, query FROM queries")))
        fresh.insert("vectors", store.arrow("FROM vectors"))
        filter_pairs(fresh, SETTINGS, embedder)
        for table in ("qp_candidates", "it_candidates"):
            assert_no_pair_twice(fresh, table)
        return result(fresh)


def assert_no_pair_twice(store: Store, table: str) -> None:
    pair = "q, f" if table == "qp_candidates" else "f_image, f_title"
    twice = f"SELECT {pair} FROM {table} GROUP BY ALL HAVING count(*) > 1"
    assert not store.rows(twice), table


@pytest.mark.parametrize("seed", range(4))
def test_any_history_ends_where_a_whole_run_does(
    store: Store, embedder: Embedder, seed: int
) -> None:
    rng = random.Random(seed)
    take_in(store, {"p0": (TITLES[0], CAPTIONS[0])}, {"q0": QUERIES[0]})
    for step in range(12):
        products = {
            f"p{rng.randrange(7)}": (rng.choice(TITLES), rng.choice(CAPTIONS))
            for _ in range(rng.randrange(4))
        }
        queries = {f"q{rng.randrange(5)}": rng.choice(QUERIES) for _ in range(rng.randrange(3))}
        take_in(store, products, queries)
        if rng.random() < 0.7 and store.scalar("SELECT count(image_key) FROM products"):
            filter_pairs(store, SETTINGS, embedder)
            for table in ("qp_candidates", "it_candidates"):
                assert_no_pair_twice(store, table)
            if step % 4 == 3:
                assert result(store) == whole_run(store, embedder)
    take_in(store, {"p0": (TITLES[0], CAPTIONS[0])}, {})
    filter_pairs(store, SETTINGS, embedder)
    assert result(store) == whole_run(store, embedder)
    assert store.scalar("SELECT count(*) FROM filters") == 1


@pytest.fixture
def grown(store: Store, embedder: Embedder) -> Store:
    products: dict[str, Product] = {
        "p0": ("red hoodie", "a red hoodie"),
        "p1": ("blue mug", "a blue mug"),
    }
    take_in(store, products, {"q0": "red hoodie", "q1": "mug"})
    filter_pairs(store, SETTINGS, embedder)
    return store


def joined(store: Store, embedder: Embedder) -> tuple[int, int]:
    """Filter and return how many queries and features were joined that were not before."""
    made = filter_pairs(store, SETTINGS, embedder)
    return made.joined_queries, made.joined_features


def test_nothing_new_joins_nothing(grown: Store, embedder: Embedder) -> None:
    store = grown
    before = result(store)
    take_in(store, {"p9": ("blue mug", "a blue mug")}, {"q9": "mug "})
    assert joined(store, embedder) == (0, 0)
    after = result(store)
    assert len(after["positives"]) > len(before["positives"])


def test_a_title_that_changes_takes_its_corrections_along(grown: Store, embedder: Embedder) -> None:
    store = grown
    assert ("q0", "p0", "genfilt", "train") in result(store)["positives"]
    take_in(store, {"p0": ("kettle", "a kettle on white")}, {})
    assert joined(store, embedder) == (0, 1)
    assert ("q0", "p0", "genfilt", "train") not in result(store)["positives"]
    take_in(store, {"p0": ("red hoodie", "a red hoodie")}, {})
    assert joined(store, embedder) == (0, 1)
    assert ("q0", "p0", "genfilt", "train") in result(store)["positives"]


def test_a_caption_that_comes_back_is_joined_with_what_came_in_between(
    grown: Store, embedder: Embedder
) -> None:
    """A text that stood for others keeps its number; a new one must not take it for joined."""
    store = grown
    take_in(store, {"p2": ("red hoodie", "a red mug")}, {})
    joined(store, embedder)
    take_in(store, {"p0": ("navy jacket", "a navy jacket")}, {})  # p0's pair is gone ...
    joined(store, embedder)
    take_in(store, {"p3": ("red mug", None)}, {"q2": "blue mug"})
    joined(store, embedder)
    take_in(store, {"p4": ("kettle", "a red hoodie")}, {})  # ... and its caption is back
    joined(store, embedder)
    assert result(store) == whole_run(store, embedder)


def test_a_spelling_that_comes_first_is_joined_anew(grown: Store, embedder: Embedder) -> None:
    """A cased embedder hears another query in it."""
    store = grown
    take_in(store, {}, {"q5": "RED HOODIE"})
    assert joined(store, embedder) == (1, 0)
    take_in(store, {}, {"q6": "red hoodie"})
    assert joined(store, embedder) == (0, 0)
    take_in(store, {}, {"q5": "something else"})
    assert joined(store, embedder) == (2, 0)
    assert store.scalar("SELECT count(DISTINCT q) FROM query_no") == 3


def test_what_stands_for_nothing_any_more_is_dropped(grown: Store, embedder: Embedder) -> None:
    store = grown
    take_in(store, {"p0": ("kettle", "a kettle on white")}, {"q0": "jacket"})
    joined(store, embedder)
    orphans = (
        "SELECT count(*) FROM qp_candidates WHERE q NOT IN (SELECT q FROM query_no) "
        "OR f NOT IN (SELECT f FROM product_no)"
    )
    assert store.scalar(orphans) == 0


def test_the_limit_holds_for_what_was_there_before(grown: Store, embedder: Embedder) -> None:
    store = grown
    held = store.scalar("SELECT count(*) FROM qp_candidates")
    before = result(store)
    take_in(store, {"p5": ("Acme hoodie", "a red hoodie")}, {})
    limited = FilterSettings(SETTINGS.sigma, SETTINGS.floor, max_pairs=held)
    with pytest.raises(UserError, match="pairs reach the floor"):
        filter_pairs(store, limited, embedder)
    limited = FilterSettings(SETTINGS.sigma, image_title_sigma=-1.0, max_title_pairs=1)
    with pytest.raises(UserError, match="allow more with --max-title-pairs"):
        filter_pairs(store, limited, embedder)
    known = [pair for pair in result(store)["positives"] if pair[1] != "p5"]
    assert known == before["positives"]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_each_query_are_those_of_a_whole_run(
    store: Store, embedder: Embedder, seed: int
) -> None:
    rng = random.Random(seed)
    limited = replace(SETTINGS, sigma=0.3, floor=0.2, max_per_query=2)
    take_in(store, {"p0": (TITLES[0], CAPTIONS[0])}, {"q0": QUERIES[0]})
    went_on = 0
    for _ in range(10):
        products = {f"p{rng.randrange(9)}": (rng.choice(TITLES), rng.choice(CAPTIONS))}
        queries = {f"q{rng.randrange(6)}": rng.choice(QUERIES)} if rng.random() < 0.5 else {}
        take_in(store, products, queries)
        before = store.scalar("SELECT max(filter_id) FROM filters")
        filter_pairs(store, limited, embedder)
        went_on += before == store.scalar("SELECT max(filter_id) FROM filters")
        found = result(store)
        store.connection.execute("UPDATE filters SET current = false")
        filter_pairs(store, limited, embedder)  # joins all, since no filter is current
        assert found == result(store)
    most = (
        "SELECT max(n) FROM (SELECT count(*) AS n FROM qp_candidates "
        "SEMI JOIN product_no USING (f) GROUP BY q)"
    )
    assert store.scalar(most) == 2
    assert went_on >= 2


def test_of_each_query_the_best_stay_when_better_ones_come(
    grown: Store, embedder: Embedder
) -> None:
    store, limited = grown, replace(SETTINGS, max_per_query=1)
    filter_pairs(store, limited, embedder)
    take_in(store, {"p2": ("red hoodie", "a red mug")}, {})
    assert filter_pairs(store, limited, embedder).joined_features == 1
    kept = (
        "SELECT product_id FROM qp_candidates JOIN product_no USING (f) JOIN query_no USING (q) "
        "WHERE query_id = 'q0'"
    )
    assert store.rows(kept) == [("p0",)]
    take_in(store, {"p0": ("kettle", "a kettle on white")}, {})  # the best of q0 is gone
    filter_pairs(store, limited, embedder)
    assert store.rows(kept) == [("p2",)]
    take_in(store, {"p0": ("red hoodie", "a red hoodie")}, {})  # and back
    filter_pairs(store, limited, embedder)
    assert store.rows(kept) == [("p0",)]


def test_a_title_of_others_costs_one_whole_join(store: Store, embedder: Embedder) -> None:
    limited = replace(SETTINGS, max_per_query=1)
    products = {"p0": ("red hoodie", CAPTIONS[0]), "p1": ("red hoodie", "a red mug")}
    take_in(store, products, {"q0": "hoodie"})
    filter_pairs(store, limited, embedder)
    take_in(store, {"p0": ("kettle", "a kettle on white")}, {})  # its title stands for p1's
    assert filter_pairs(store, limited, embedder).filter_id == 2
    take_in(store, {"p2": ("blue mug", "a blue mug")}, {})
    made = filter_pairs(store, limited, embedder)
    assert (made.filter_id, made.joined_features) == (2, 1)
