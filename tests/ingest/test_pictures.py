from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.photos import picture_fault
from genfilt.ingest import pictures
from genfilt.ingest.ingest import ingest
from genfilt.ingest.picture_files import locate
from genfilt.ingest.sources import Sources
from genfilt.store.failures import Failure
from genfilt.store.keys import file_key
from genfilt.store.store import Store
from tests.shop_files import draw


@pytest.mark.parametrize(
    "name",
    [
        "a b.png", "/a b.png", "a%20b.png", "/a%20b.png?v=3&w=4", "a b.png#main", "\\a b.png",
        "images\\a b.png", "C:\\images\\a b.png", "/images/a b.png", "a b.png|c.png",
        "a b.png, c.png", "|a b.png", "a b.png;c.png", "a b.png\nc.png",
    ],
)  # fmt: skip
def test_names_of_shop_exports_are_found(tmp_path: Path, name: str) -> None:
    picture = draw(tmp_path / "images" / "a b.png", "red")
    assert locate(name, tmp_path / "images") == picture


def test_a_name_with_a_comma_is_a_name(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    whole = draw(tmp_path / "a.png, b.png", "blue") if os.name != "nt" else None
    assert locate("a.png, b.png", tmp_path) == whole


@pytest.mark.parametrize(
    "name", ["%2e%2e/secret.png", "..\\secret.png", "/../secret.png", "x|../secret.png"]
)
def test_no_spelling_leads_outside(tmp_path: Path, name: str) -> None:
    draw(tmp_path / "secret.png", "red")
    (tmp_path / "images").mkdir()
    assert isinstance(locate(name, tmp_path / "images"), Failure)


def test_an_unchanged_picture_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [draw(tmp_path / f"{color}.png", color) for color in ("red", "blue")]
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_key(path)

    monkeypatch.setattr(pictures, "file_key", counted)
    table = pa.table(
        {"product_id": ["1", "2", "3"], "title": ["a", "b", "c"],
         "image": ["red.png", "blue.png", "red.png"]}
    )  # fmt: skip
    with Store(tmp_path / "t.duckdb") as store:
        ingest(store, Sources(products=table, images=tmp_path))
        assert sorted(read) == ["blue.png", "red.png"]
        keys = store.rows("SELECT image_key FROM products ORDER BY product_id")
        ingest(store, Sources(products=table, images=tmp_path))
        assert len(read) == 2
        assert store.rows("SELECT image_key FROM products ORDER BY product_id") == keys
        draw(paths[0], "green")
        ingest(store, Sources(images=tmp_path))
        assert read[2:] == ["red.png"]
        found = store.rows("SELECT image_key FROM products ORDER BY product_id")
        assert found[0] == found[2] == (file_key(paths[0]),)
        assert found[0] != keys[0]


def test_a_picture_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    table = pa.table({"product_id": ["1"], "title": ["a"], "image": ["a.png"]})
    with Store(tmp_path / "t.duckdb") as store:
        ingest(store, Sources(products=table, images=tmp_path))
        assert store.scalar("SELECT count(*) FROM files") == 0


def test_mostly_missing_pictures_are_remarked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "a.png", "red")
    table = pa.table(
        {"product_id": ["1", "2", "3"], "title": ["a"] * 3, "image": ["a.png", "b.png", "c.png"]}
    )
    with Store(tmp_path / "t.duckdb") as store:
        counts = ingest(store, Sources(products=table, images=tmp_path))
        remarks = capsys.readouterr().err
        assert counts["failed"] == 2
        assert "WARNING: 2 of 3 pictures were not found; the first is product 2" in remarks
        draw(tmp_path / "b.png", "red")
        assert ingest(store, Sources(images=tmp_path))["failed"] == 1
        assert "WARNING" not in capsys.readouterr().err
        assert store.rows("SELECT item_key FROM failures") == [("3",)]


def test_missing_pictures_are_remarked_on_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = pictures.EARLY_PICTURES + 1
    table = pa.table(
        {
            "product_id": [str(n) for n in range(total)],
            "title": ["a"] * total,
            "image": [f"{n}.png" for n in range(total)],
        }
    )
    with Store() as store:
        counts = ingest(store, Sources(products=table, images=tmp_path))
    assert counts == {"products": total, "failed": total}
    remarks = capsys.readouterr().err
    assert (
        f"WARNING: {pictures.EARLY_PICTURES:,} of {pictures.EARLY_PICTURES:,} pictures" in remarks
    )
    assert f"WARNING: {total:,} of {total:,} pictures" in remarks


def test_an_address_is_the_file_of_its_name_below_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red = draw(tmp_path / "images" / "red hood.png", "red")
    draw(tmp_path / "images" / "main.png", "blue")
    shop = "https://127.0.0.1/s/files"
    table = pa.table({"product_id": ["a", "b", "c", "d", "e"], "title": ["hood"] * 5, "image": [
        f"{shop}/red%20hood.png?v=17", f"{shop}/1/main.png", f"{shop}/2/main.png",
        f"{shop}/none.png", f"{shop}/..",
    ]})  # fmt: skip
    with Store() as store:
        counts = ingest(store, Sources(products=table, images=tmp_path / "images"))
        found = dict(store.rows("SELECT product_id, image FROM products WHERE image_key NOT NULL"))
    assert found == {"a": str(red)}  # which of two products main.png shows cannot be known
    assert counts["failed"] == 4
    assert "--images DIR with a file of that name" in capsys.readouterr().err


def test_a_picture_that_changes_the_split_is_remarked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [f"p{n}" for n in range(60)]
    images = [str(draw(tmp_path / f"{n}.png", "red" if n % 2 else "blue")) for n in range(60)]
    table = pa.table({"product_id": ids, "title": ids})
    with Store() as store:
        ingest(store, Sources(products=table))
        assert "change their split" not in capsys.readouterr().err
        before = dict(store.rows("SELECT product_id, split FROM products"))
        given = table.append_column("image", pa.array(images))
        ingest(store, Sources(products=given, images=tmp_path))
        now = dict(store.rows("SELECT product_id, split FROM products"))
    moved = sum(before[i] != now[i] for i in ids)
    assert moved
    assert f"WARNING: {moved} products that were there before change" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"", "is empty"), (b"<html>404</html>", "is a text"), (None, "is cut off")],
)
def test_a_broken_picture_is_remarked_on(
    tmp_path: Path, content: bytes | None, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = draw(tmp_path / "good.jpg", "red")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:300] if content is None else content)
    assert picture_fault(good) is None
    assert picture_fault(draw(tmp_path / "good.png", "red")) is None
    table = pa.table(
        {"product_id": ["a", "b"], "title": ["x", "y"], "image": [str(good), str(bad)]}
    )
    with Store() as store:
        ingest(store, Sources(products=table, images=tmp_path))
    said = " ".join(capsys.readouterr().err.split())
    assert "WARNING: 1 picture files look broken" in said
    assert f"the first is {bad} {fault}." in said
