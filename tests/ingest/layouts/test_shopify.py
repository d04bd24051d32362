from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.layouts import shopify
from genfilt.ingest.sources import Sources

HEADER = "Handle,Title,Body (HTML),Vendor,Type,Option1 Value,Image Src\n"


def read(path: Path, rows: str, header: str = HEADER) -> list[dict[str, object]]:
    path.write_text(header + rows)
    return shopify.read(str(path), Sources()).products.to_pylist()  # type: ignore[union-attr]


def test_variants_are_one_product(tmp_path: Path) -> None:
    rows = (
        "linen-shirt,Linen Shirt &amp; Tie,<p>A</p>,Marlow,Shirts,S,\n"
        "linen-shirt,,,,,M,https://shop.example/b.jpg?v=1\n"
        "linen-shirt,Linen Shirt &amp; Tie,,,,L,https://shop.example/c.jpg\n"
        ",,,,,,https://shop.example/d.jpg\n"
        "clay-pot,Clay Pot,,Marlow,Garden,,\n"
    )
    assert read(tmp_path / "p.csv", rows) == [
        {
            "product_id": "linen-shirt",
            "title": "Linen Shirt & Tie",
            "image": "https://shop.example/b.jpg?v=1",
            "category": "Shirts",
        },
        {"product_id": "clay-pot", "title": "Clay Pot", "image": None, "category": "Garden"},
    ]


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Handle a two titles, 'A' and 'B' in data row 2"):
        read(tmp_path / "p.csv", "a,A,,,,,\na,B,,,,,\n")
    with pytest.raises(UserError, match="no Handle in data row 1"):
        read(tmp_path / "p.csv", ",A,,,,,\n")
    with pytest.raises(UserError, match="no columns Handle, Title; it has sku, name"):
        read(tmp_path / "p.csv", "1,a\n", "sku,name\n")
