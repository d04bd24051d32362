"""Flat files: one row a query and product."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.layouts import CatalogueLayout
from genfilt.store.keys import bytes_key
from genfilt.store.store import Store
from tests.ingest.layouts.layout_files import (
    picture_bytes,
    take_in,
)
from tests.shop_files import draw


def test_flat_rows_with_paths(store: Store, tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    source = tmp_path / "rows.csv"
    source.write_text(
        "query,name,image,label\n"
        "mug,Red mug,a.png,1\n"
        "Mug ,Steel kettle,,0\n"
        "cup,Red mug,a.png,\n"
        "cup,Red mug,a.png,\n"
    )
    given = {"aliases": {"title": "name"}, "images": tmp_path}
    counts = take_in(store, source, CatalogueLayout.flat, **given)
    left_out = {"rows without a label left out": 2}
    assert counts == {"products": 2, "queries": 3, "labels": 2, **left_out, "failed": 0}
    assert store.scalar("SELECT count(*) FROM clicks") == 0
    assert store.rows(
        "SELECT query, title, label FROM labels JOIN queries USING (query_id) "
        "JOIN products USING (product_id) ORDER BY 2"
    ) == [("mug", "Red mug", 1), ("Mug", "Steel kettle", 0)]
    before = store.rows("FROM products ORDER BY ALL")
    take_in(store, source, CatalogueLayout.flat, **given)
    assert store.rows("FROM products ORDER BY ALL") == before


def test_flat_rows_count_clicks(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("query,title\ncup,Red mug\ncup,Red mug\n")
    take_in(store, source, CatalogueLayout.flat)
    assert store.rows("SELECT clicks FROM clicks") == [(2,)]
    source.write_text("query,title,clicks,label\ncup,Red mug,0,1\ncup,Red bowl,4,\ncup,Cup,,\n")
    take_in(store, source, CatalogueLayout.flat)
    pairs = "JOIN products USING (product_id) ORDER BY ALL"
    assert store.rows(f"SELECT title, clicks FROM clicks {pairs}") == [
        ("Red bowl", 4),
        ("Red mug", 2),
    ]
    assert store.rows(f"SELECT title, label FROM labels {pairs}") == [("Red mug", 1)]
    assert store.scalar("SELECT count(*) FROM products") == 3


@pytest.mark.parametrize("form", ["binary", "datasets"])
def test_flat_rows_with_pictures_in_them(store: Store, tmp_path: Path, form: str) -> None:
    red, blue = picture_bytes("red"), picture_bytes("blue")
    images = (
        [red, blue]
        if form == "binary"
        else [{"bytes": red, "path": None}, {"bytes": blue, "path": "b.png"}]
    )
    table = pa.table({"query": ["mug", "cup"], "title": ["Mug", "Mug"], "image": images})
    pq.write_table(table, tmp_path / "rows.parquet")
    counts = take_in(store, tmp_path / "rows.parquet", CatalogueLayout.flat)
    assert counts == {"products": 2, "queries": 2, "clicks": 2, "failed": 0}
    keys = {key for (key,) in store.rows("SELECT image_key FROM products")}
    assert keys == {bytes_key(red), bytes_key(blue)}
    assert sorted(path.name for path in (tmp_path / "db" / "pictures").iterdir()) == sorted(keys)


def test_what_does_not_go_together_is_refused(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("query,title\nmug,Red mug\n")
    with pytest.raises(UsageError, match="brings its own tables"):
        take_in(store, source, CatalogueLayout.flat, clicks="clicks.csv")
    with pytest.raises(UsageError, match="--map goes with --layout flat"):
        take_in(store, tmp_path, CatalogueLayout.esci, aliases={"title": "name"})
    source.write_text("query,name\nmug,Red mug\n")
    with pytest.raises(UserError, match="no column title"):
        take_in(store, source, CatalogueLayout.flat)
