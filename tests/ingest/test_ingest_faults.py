"""Faults of a catalogue or a log that stop ingest before anything is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from tests.ingest.small_sources import FAULTS, content
from tests.shop_files import draw, write_csv


def test_a_log_of_things_that_are_gone_is_counted(
    store: Store, shop: Sources, tmp_path: Path
) -> None:
    clicks = write_csv(
        tmp_path / "c.csv", "query_id,product_id", [("q1", "gone"), ("q9", "p1"), ("q1", "p1")]
    )
    counts = ingest(store, Sources(shop.products, shop.queries, clicks, images=shop.images))
    assert counts["failed"] == 2
    assert store.scalar("SELECT count(*) FROM clicks") == 1
    assert store.rows("SELECT item_key, reason FROM failures ORDER BY 1") == [
        ("product gone", "unknown product"),
        ("query q9", "unknown query"),
    ]


def test_pictures_are_found_below_their_folder_only(store: Store, tmp_path: Path) -> None:
    draw(tmp_path / "secret.png", "red")
    images = tmp_path / "images"
    draw(images / "in.png", "blue")
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    names = ["in.png", "images/in.png", "../secret.png", "link.png", "gone.png", "x\0y", ""]
    rows = [(f"p{n}", f"Title {n}", name) for n, name in enumerate(names)]
    table = pa.table(
        {
            name: [str(row[at]) for row in rows]
            for at, name in enumerate(("product_id", "title", "image"))
        }
    )
    ingest(store, Sources(products=table, images=images))
    assert store.rows("SELECT product_id FROM products WHERE image_key IS NOT NULL ORDER BY 1") == [
        ("p0",),
        ("p1",),
    ]
    assert store.rows("SELECT item_key, reason FROM failures ORDER BY 1") == [
        ("p2", "picture outside --images"),
        ("p3", "picture outside --images"),
        ("p4", "missing picture"),
        ("p5", "missing picture"),
    ]
    # Once they are there, --images alone finds them and clears their failures.
    draw(images / "gone.png", "green")
    ingest(store, Sources(images=images))
    assert store.scalar("SELECT count(*) FROM failures WHERE item_key = 'p4'") == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_structural_faults_stop_before_anything_is_written(
    store: Store, shop: Sources, tmp_path: Path, fault: str
) -> None:
    kind, header, rows, message = FAULTS[fault]
    ingest(store, shop)
    before = content(store)
    bad = write_csv(tmp_path / "bad.csv", header, rows)
    good = write_csv(tmp_path / "good.csv", "query_id,query", [("q7", "new query")])
    sources = {"queries": good, kind: bad}
    with pytest.raises(UserError, match=message):
        ingest(store, Sources(**sources))
    assert content(store) == before


def test_what_cannot_be_read_is_named(store: Store, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "plain").mkdir()
    for name, message in (
        ("gone.csv", "no file or folder"),
        ("empty.csv", "is empty"),
        ("torn.parquet", "cannot be read"),
        ("plain", "holds no dataset"),
    ):
        with pytest.raises(UserError, match=message):
            ingest(store, Sources(queries=str(tmp_path / name)))
    for name, message in (("q.doc", "no kind that genfilt reads"), ("q.xlsx", "is a workbook")):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=message):
            ingest(store, Sources(queries=str(tmp_path / name)))
    with pytest.raises(UsageError, match="Nothing to ingest"):
        ingest(store, Sources())


def test_a_log_without_a_count_names_the_columns_that_may_be_one(
    store: Store, shop: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("q1", "p1", "3")]
    log = write_csv(tmp_path / "c.csv", "query_id,product_id,n", rows)
    sources = Sources(shop.products, shop.queries, log, images=shop.images)
    assert ingest(store, sources)["clicks"] == 1
    said = capsys.readouterr().err
    assert "has no column clicks, so each row is one click; not read: n (--map clicks" in said
    plain = write_csv(tmp_path / "d.csv", "query_id,product_id", [("q1", "p1")])
    ingest(store, Sources(clicks=plain))
    assert "each row is one click" not in capsys.readouterr().err
