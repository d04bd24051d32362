from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.ingest.columns import clean
from genfilt.ingest.picture_fields import first_picture, keep_picture, picture_names
from genfilt.store.keys import bytes_key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (" \\N ", None),
        ("NaN", None),
        (float("nan"), None),
        ([], None),
        ("[]", None),
        ("  a.png ", "a.png"),
        (["a.jpg", "b.jpg"], "a.jpg"),
        ([None, "", "b.jpg"], "b.jpg"),
        ({"url": "https://x.example/a.jpg"}, "https://x.example/a.jpg"),
        ([{"thumb": "t.jpg", "large": "l.jpg"}], "l.jpg"),
        ({"images": 1, "src": ["a.jpg"]}, "a.jpg"),
        ({"bytes": None, "path": "b.png"}, "b.png"),
        ({"bytes": None, "path": None}, None),
        ({"foo": 1}, "{'foo': 1}"),
        ('["a.png", "b.png"]', "a.png"),
        ("['a.png', 'b.png']", "a.png"),
        ('{"url": "https://x.example/a.jpg"}', "https://x.example/a.jpg"),
        ("[a].png", "[a].png"),
        ("https://x.example/a,b.jpg", "https://x.example/a,b.jpg"),
        ("https://x.example/a,b.jpg, https://x.example/c.jpg", "https://x.example/a,b.jpg"),
        ("https://x.example/a.jpg|https://x.example/b.jpg", "https://x.example/a.jpg"),
        ("https://x.example/a.jpg https://x.example/b.jpg", "https://x.example/a.jpg"),
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        (7, "7"),
        (date(2020, 1, 1), "2020-01-01"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_the_first_picture_is_taken(value: object, expected: str | None) -> None:
    assert first_picture(value) == expected


def test_bytes_are_written_under_their_key(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for value in (b"a picture", [b"a picture"], {"bytes": b"a picture", "path": "a.png"}):
        assert keep_picture(value, folder) == str(folder / bytes_key(b"a picture"))
    assert [path.read_bytes() for path in folder.iterdir()] == [b"a picture"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (pa.array([1, 2, None]), ["1", "2", None]),
        (pa.array([1.5, float("nan"), 3.0]), ["1.5", None, "3"]),
        (pa.array(["a.png", " ", "b.png"]).dictionary_encode(), ["a.png", None, "b.png"]),
        (pa.array([["a.png"], [], None]), ["a.png", None, None]),
        (pa.nulls(3), [None, None, None]),
        (pa.array([{"src": "a.png"}, {"src": None}, None]), ["a.png", None, None]),
    ],
)
def test_columns_of_every_type(tmp_path: Path, image: pa.Array, expected: list[str]) -> None:
    table = pa.table({"product_id": ["1", "2", "3"], "title": ["a"] * 3, "image": image})
    names, failures = picture_names(clean(table, "products", "p"), tmp_path)
    assert names.to_pylist() == expected
    assert not failures


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(4), pa.binary_view()])
def test_columns_of_bytes_are_pictures(tmp_path: Path, kind: pa.DataType) -> None:
    content = [b"\xff\xd8\xff\xe0", b"    ", None]
    image = pa.array(content, kind)
    table = pa.table({"product_id": ["1", "2", "3"], "title": ["a"] * 3, "image": image})
    names, failures = picture_names(clean(table, "products", "p"), tmp_path)
    found = [None if name is None else Path(name).read_bytes() for name in names.to_pylist()]
    assert found == content
    assert not failures
