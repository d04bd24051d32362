"""Public layouts: WANDS, ESCI with SQID, GS-10M."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.layouts import CatalogueLayout
from genfilt.store.keys import bytes_key
from genfilt.store.store import Store
from tests.ingest.layouts.layout_files import (
    gs_rows,
    picture_bytes,
    take_in,
    write_esci,
    write_wands,
)
from tests.shop_files import draw


@pytest.mark.parametrize("hierarchy", ["category hierarchy", "category_hierarchy"])
@pytest.mark.parametrize("inner", ["", "dataset"])
def test_wands(store: Store, tmp_path: Path, hierarchy: str, inner: str) -> None:
    write_wands(tmp_path / "WANDS" / inner, hierarchy)
    counts = take_in(store, tmp_path / "WANDS", CatalogueLayout.wands)
    assert counts == {"products": 2, "queries": 1, "labels": 2, "failed": 0}
    assert store.rows("SELECT product_id, title, category FROM products ORDER BY 1") == [
        ("0", "solid wood platform bed", "Furniture / Bedroom / Beds"),
        ("7", 'a 12" clock', None),
    ]
    assert store.rows("SELECT product_id, label, grade FROM labels ORDER BY 1") == [
        ("0", 1, "Exact"),
        ("7", 0, "Partial"),
    ]
    assert store.meta("label_map") is not None
    assert "Partial" in str(store.meta("label_map"))


def test_a_label_map_of_the_users_replaces_the_layouts(store: Store, tmp_path: Path) -> None:
    write_wands(tmp_path)
    take_in(store, tmp_path, CatalogueLayout.wands, label_map={"Exact": 1, "Partial": 1})
    assert store.rows("SELECT label FROM labels") == [(1,), (1,)]


def test_a_missing_file_is_named(store: Store, tmp_path: Path) -> None:
    write_wands(tmp_path)
    (tmp_path / "label.csv").unlink()
    with pytest.raises(UserError, match=r"has no label\.csv"):
        take_in(store, tmp_path, CatalogueLayout.wands)
    with pytest.raises(UserError, match="There is no folder"):
        take_in(store, tmp_path / "nowhere", CatalogueLayout.wands)
    assert store.scalar("SELECT count(*) FROM products") == 0


def test_esci_with_the_pictures_of_sqid(store: Store, tmp_path: Path) -> None:
    write_esci(tmp_path)
    (tmp_path / "sqid").mkdir()
    (tmp_path / "sqid" / "product_image_urls.csv").write_text(
        "product_id,image_url\n"
        "B0,https://m.media-amazon.com/images/I/B0.jpg\n"
        "B2,https://m.media-amazon.com/images/G/01/digital/video/web/"
        "Default_Background_Art_LTR._SX1080_FMjpg_.jpg\n"
    )
    (tmp_path / "supp_product_image_urls.csv").write_text("product_id,image_url\nB1,\n")
    counts = take_in(store, tmp_path, CatalogueLayout.esci)
    assert counts == {"products": 4, "queries": 1, "labels": 3, "failed": 1}
    assert store.rows("SELECT product_id, title, image FROM products ORDER BY 1") == [
        ("es:B0", "Ventilador", None),
        ("us:B0", "Fan", "https://m.media-amazon.com/images/I/B0.jpg"),
        ("us:B1", "Light", None),
        ("us:B2", "A film", None),
    ]
    assert store.rows("SELECT product_id, label, grade, split FROM labels ORDER BY 1") == [
        ("es:B0", 0, "I", "test"),
        ("us:B0", 1, "E", "train"),
        ("us:B1", 0, "S", "train"),
    ]
    assert store.rows("SELECT item_key, reason FROM failures") == [
        ("us:B0", "picture not downloaded")
    ]


def test_esci_holds_some_train_queries_for_val(store: Store, tmp_path: Path) -> None:
    write_esci(tmp_path, queries=200)
    take_in(store, tmp_path, CatalogueLayout.esci)
    splits = dict(store.rows("SELECT split, count(DISTINCT query_id) FROM labels GROUP BY 1"))
    assert 2 <= splits["val"] <= 30
    assert splits["train"] + splits["val"] == 200
    several = "SELECT count(*) FROM labels WHERE split <> 'test' GROUP BY query_id "
    assert not store.rows(several + "HAVING count(DISTINCT split) > 1")


def test_gs10m_in_parquet_with_pictures(store: Store, tmp_path: Path) -> None:
    red = picture_bytes("red")
    folder = tmp_path / "data"
    folder.mkdir()
    for name, rows in {
        "in_domain-00000-of-00002": [("mug", "1", "Red mug", 100), ("cup", "1", "Red mug", 5)],
        "novel_query-00000-of-00001": [("beaker", "1", "Red mug", 99)],
        "zero_shot-00000-of-00001": [("bowl", "2", "Blue bowl", 100)],
    }.items():
        image = [{"bytes": red, "path": "1.png"} for _ in rows]
        pq.write_table(pa.table({"image": image, **gs_rows(*rows)}), folder / f"{name}.parquet")
    counts = take_in(store, tmp_path, CatalogueLayout.gs10m, min_clicks=91)
    left_out = {"pairs below --min-clicks left out": 1}
    assert counts == {"products": 2, "queries": 4, "clicks": 3, **left_out, "failed": 0}
    assert store.rows("SELECT product_id, title, split, image_key FROM products ORDER BY 1") == [
        ("1", "Red mug", "train", bytes_key(red)),
        ("2", "Blue bowl", "test", bytes_key(red)),
    ]
    assert store.rows("SELECT query_id, product_id, clicks, split FROM clicks ORDER BY 1") == [
        ("q-beaker", "1", 99, "val"),
        ("q-bowl", "2", 100, "test"),
        ("q-mug", "1", 100, "train"),
    ]


def test_gs10m_in_csv(store: Store, tmp_path: Path) -> None:
    draw(tmp_path / "images_wfash" / "1.png", "red")
    rows = gs_rows(("mug", "1", "Red, round mug", 100))
    header = [*rows, "image_local"]
    values = [*(f'"{column[0]}"' for column in rows.values()), '"images_wfash/1.png"']
    archive = tmp_path / "marqo_gs_wfash_1m"
    archive.mkdir()
    (archive / "query_0_product_id_1.csv").write_text(f"{','.join(header)}\n{','.join(values)}\n")
    counts = take_in(store, archive, CatalogueLayout.gs10m, images=tmp_path / "images_wfash")
    assert counts == {"products": 1, "queries": 1, "clicks": 1, "failed": 0}
    assert store.rows("SELECT split, image_key IS NOT NULL FROM products") == [("test", True)]
