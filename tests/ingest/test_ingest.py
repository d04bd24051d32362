"""Ingest fills the tables, and again only where something changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from tests.ingest.small_sources import content, contents, with_products
from tests.shop_files import PRODUCTS, draw, write_csv


def test_ingest_fills_the_tables(store: Store, shop: Sources) -> None:
    counts = ingest(store, shop)
    assert counts == {"products": 5, "queries": 3, "clicks": 3, "labels": 3, "failed": 0}
    assert store.rows("SELECT split FROM products ORDER BY product_id") == [
        (split,) for *_, split in PRODUCTS
    ]
    # q2 spells q1 otherwise; p4 has p1's title and a picture of its own.
    assert store.rows("SELECT query_id, q FROM query_no ORDER BY query_id") == [
        ("q1", 0),
        ("q2", 0),
        ("q3", 1),
    ]
    assert store.scalar("SELECT count(DISTINCT p) FROM product_no") == 5
    assert store.scalar("SELECT count(DISTINCT title_key) FROM products") == 4
    # A click without a split has its product's.
    assert store.rows("SELECT product_id, split FROM clicks ORDER BY product_id") == [
        ("p1", "train"),
        ("p3", "train"),
        ("p4", "val"),
    ]


def test_ingesting_again_changes_nothing(store: Store, shop: Sources) -> None:
    ingest(store, shop)
    before = content(store)
    ingest(store, shop)
    assert content(store) == before


def test_a_new_title_or_picture_changes_only_its_product(store: Store, shop: Sources) -> None:
    ingest(store, shop)
    before = contents(store)
    assert shop.images is not None
    draw(shop.images / "p3.png", "green")
    rows = [
        (i, "Acme Jacket" if i == "p2" else title, f"{i}.png", category, split)
        for i, title, _, category, split in PRODUCTS
    ]
    header = "product_id,title,image,category,split"
    ingest(store, with_products(write_csv(shop.images.parent / "new.csv", header, rows)))
    after = contents(store)
    assert {name for name in before if before[name] != after[name]} == {"p2", "p3"}
    assert {after["p2"][2], after["p3"][2]} == {5, 6}  # numbers are never given twice


def test_a_product_that_changes_its_split_takes_its_clicks_along(
    store: Store, shop: Sources, tmp_path: Path
) -> None:
    ingest(store, shop)
    moved = write_csv(
        tmp_path / "moved.csv",
        "product_id,title,image,split",
        [("p1", PRODUCTS[0][1], "p1.png", "val")],
    )
    ingest(store, with_products(moved))
    assert store.scalar("SELECT split FROM clicks WHERE product_id = 'p1'") == "val"


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "csv.gz", "dataset"])
def test_every_kind_of_file_gives_the_same_rows(store: Store, tmp_path: Path, kind: str) -> None:
    rows = {
        "query_id": ["007", "b"],
        "query": ['5" pan, "non-stick"', "l'été ☀"],
    }
    path = tmp_path / f"queries.{kind}"
    if kind == "tsv":
        lines = ["query_id\tquery", *(f"{i}\t{q}" for i, q in zip(*rows.values(), strict=True))]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    elif kind == "jsonl":
        lines = [
            json.dumps(dict(zip(rows, row, strict=True)))
            for row in zip(*rows.values(), strict=True)
        ]
        path.write_text("\n".join(lines), "utf-8")
    elif kind == "parquet":
        pq.write_table(pa.table(rows), path)
    elif kind == "csv.gz":
        import gzip

        plain = write_csv(tmp_path / "q.csv", "query_id,query", zip(*rows.values(), strict=True))
        path.write_bytes(gzip.compress(Path(plain).read_bytes()))
    else:
        datasets.Dataset.from_dict(rows).save_to_disk(str(path))
    ingest(store, Sources(queries=str(path)))
    assert store.rows("SELECT query_id, query FROM queries ORDER BY 1") == list(
        zip(*rows.values(), strict=True)
    )


def test_pictures_that_come_in_the_rows_are_kept(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", "red")
    rows = {
        "product_id": ["a", "b"],
        "title": ["A", "B"],
        "image": [{"bytes": picture.read_bytes(), "path": None}] * 2,
    }
    features = datasets.Features(
        {
            "product_id": datasets.Value("string"),
            "title": datasets.Value("string"),
            "image": datasets.Image(),
        }
    )
    datasets.Dataset.from_dict(rows, features).save_to_disk(str(tmp_path / "data"))
    with Store(tmp_path / "g.duckdb") as store:
        ingest(store, with_products(str(tmp_path / "data")))
        found = store.rows("SELECT image, image_key FROM products")
    assert len(set(found)) == 1
    assert Path(found[0][0]).read_bytes() == picture.read_bytes()


def test_columns_can_have_other_names(store: Store, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "p.csv", "sku,product_name", [("1", "Pan")])
    aliases = {"product_id": "sku", "title": "product_name"}
    ingest(store, Sources(products=path, aliases=aliases))
    assert store.rows("SELECT product_id, title FROM products") == [("1", "Pan")]


def test_clicks_add_up_and_few_are_left_out(store: Store, shop: Sources, tmp_path: Path) -> None:
    clicks = write_csv(
        tmp_path / "c.csv", "query_id,product_id", [("q1", "p1"), ("q1", "p1"), ("q3", "p3")]
    )
    ingest(store, Sources(shop.products, shop.queries, clicks, min_clicks=2))
    assert store.rows("SELECT query_id, product_id, clicks FROM clicks") == [("q1", "p1", 2)]


def test_labels_are_mapped_by_their_own_words(store: Store, shop: Sources, tmp_path: Path) -> None:
    labels = write_csv(
        tmp_path / "l.csv", "query_id,product_id,label", [("q1", "p1", "E"), ("q1", "p2", "S")]
    )
    with pytest.raises(UserError, match="--label-map E=0"):
        ingest(store, Sources(shop.products, shop.queries, labels=labels))
    ingest(store, Sources(shop.products, shop.queries, labels=labels, label_map={"E": 1, "S": 0}))
    assert store.rows("SELECT label, grade FROM labels ORDER BY 2") == [(1, "E"), (0, "S")]


def test_reviews_without_a_verdict_are_left_out(
    store: Store, shop: Sources, tmp_path: Path
) -> None:
    reviews = write_csv(
        tmp_path / "r.csv",
        "query_id,product_id,verdict,reviewer,score",
        [("q1", "p1", "0", "ann", 0.9), ("q1", "p2", "", "ann", 0.8)],
    )
    ingest(store, replace(shop, reviews=reviews))
    assert store.rows("SELECT product_id, verdict, reviewer FROM reviews") == [("p1", 0, "ann")]
    verdict = (
        "SELECT positive, source FROM verdicts JOIN product_no USING (p) WHERE product_id = 'p1'"
    )
    assert store.rows(verdict) == [(False, "review")]
