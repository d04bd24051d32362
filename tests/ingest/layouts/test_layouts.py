from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.layouts import CatalogueLayout, with_layout
from genfilt.ingest.sources import Sources
from genfilt.store.keys import bytes_key
from genfilt.store.store import Store
from tests.shop_files import draw


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "db" / "genfilt.duckdb") as opened:
        yield opened


def take_in(store: Store, source: Path, layout: CatalogueLayout, **given: object) -> dict[str, int]:
    sources = with_layout(store, str(source), layout, Sources(**given))  # type: ignore[arg-type]
    return ingest(store, sources)


def tabs(path: Path, *rows: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def picture_bytes(color: str) -> bytes:
    held = BytesIO()
    Image.new("RGB", (8, 8), color).save(held, "PNG")
    return held.getvalue()


# WANDS


def write_wands(folder: Path, hierarchy: str = "category hierarchy") -> None:
    tabs(
        folder / "product.csv",
        ("product_id", "product_name", "product_class", hierarchy, "product_description",
         "product_features", "rating_count", "average_rating", "review_count"),
        ("0", "solid wood platform bed", "Beds", "Furniture / Bedroom / Beds",
         '"good , deep sleep can be hard\nto have in ""a world"""', "width:64|finish:oak",
         "15.0", "4.5", "15.0"),
        ("7", '"a 12"" clock"', "", "", "", "", "", "", ""),
    )  # fmt: skip
    tabs(folder / "query.csv", ("query_id", "query", "query_class"), ("0", "salon chair", "Chairs"))
    tabs(
        folder / "label.csv",
        ("id", "query_id", "product_id", "label"),
        ("234", "0", "0", "Exact"),
        ("235", "0", "7", "Partial"),
    )


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


# ESCI and SQID


def write_esci(folder: Path, queries: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [f"revent {number} cfm" for number in range(queries)]
    rows = [
        (number, "B0", "us", "E", "train") for number in range(queries)
    ] + [(0, "B1", "us", "S", "train"), (0, "B0", "es", "I", "test")]  # fmt: skip
    pq.write_table(
        pa.table(
            {
                "example_id": list(range(len(rows))),
                "query": [texts[row[0]] for row in rows],
                "query_id": [row[0] for row in rows],
                "product_id": [row[1] for row in rows],
                "product_locale": [row[2] for row in rows],
                "esci_label": [row[3] for row in rows],
                "small_version": [0] * len(rows),
                "large_version": [1] * len(rows),
                "split": [row[4] for row in rows],
            }
        ),
        folder / "shopping_queries_dataset_examples.parquet",
    )
    pq.write_table(
        pa.table(
            {
                "product_id": ["B0", "B1", "B0", "B2"],
                "product_title": ["Fan", "Light", "Ventilador", "A film"],
                "product_description": pa.array([None] * 4, pa.string()),
                "product_bullet_point": pa.array([None] * 4, pa.string()),
                "product_brand": ["Panasonic", None, None, None],
                "product_color": ["White", None, None, None],
                "product_locale": ["us", "us", "es", "us"],
            }
        ),
        folder / "shopping_queries_dataset_products.parquet",
    )


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


# Marqo-GS-10M


def gs_rows(*rows: tuple[str, str, str, int]) -> dict[str, list[object]]:
    return {
        "query": [row[0] for row in rows],
        "product_id": [row[1] for row in rows],
        "position": [101 - row[3] for row in rows],
        "title": [row[2] for row in rows],
        "pair_id": [f"{number}" for number, _ in enumerate(rows)],
        "score_linear": [row[3] for row in rows],
        "score_reciprocal": [1 / (101 - row[3]) for row in rows],
        "no_score": [1] * len(rows),
        "query_id": [f"q-{row[0]}" for row in rows],
    }


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


# flat


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
