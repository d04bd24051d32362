"""A small shop on disk: the files that `genfilt ingest` reads, with drawn pictures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

PRODUCTS = (
    # product_id, title, picture's colour, category, split
    ("p1", "Acme Red Cotton Hoodie", "red", "apparel", "train"),
    ("p2", "Acme Navy Hoodie", "navy", "apparel", "train"),
    ("p3", "Borel Red Mug", "red", "home", "train"),
    ("p4", "Acme Red Cotton Hoodie", "darkred", "apparel", "val"),
    ("p5", "Borel Steel Kettle 2 L", "gray", "home", "test"),
)
QUERIES = (("q1", "red hoodie"), ("q2", "Red  Hoodie"), ("q3", "mug"))
CLICKS = (("q1", "p1", 3, ""), ("q3", "p3", 1, ""), ("q2", "p4", 1, ""))
LABELS = (("q1", "p2", 0, "train"), ("q3", "p5", 0, "test"), ("q1", "p4", 1, "val"))


def write_csv(path: Path, header: str, rows: Iterable[Sequence[object]]) -> str:
    """Write rows under a comma-separated header and return the path as text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return str(path)


def draw(path: Path, color: str, size: int = 64) -> Path:
    """Draw a coloured thing on white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (size, size), "white")
    box = (size // 4, size // 5, size * 3 // 4, size * 4 // 5)
    ImageDraw.Draw(picture).rectangle(box, fill=color)
    picture.save(path)
    return path


def write_shop(folder: Path) -> dict[str, str]:
    """Write the shop and return the options of ingest by their names."""
    for product_id, _, color, _, _ in PRODUCTS:
        draw(folder / "images" / f"{product_id}.png", color)
    products = [(i, t, f"{i}.png", c, s) for i, t, _, c, s in PRODUCTS]
    return {
        "products": write_csv(
            folder / "products.csv", "product_id,title,image,category,split", products
        ),
        "queries": write_csv(folder / "queries.csv", "query_id,query", QUERIES),
        "clicks": write_csv(folder / "clicks.csv", "query_id,product_id,clicks,split", CLICKS),
        "labels": write_csv(folder / "labels.csv", "query_id,product_id,label,split", LABELS),
        "images": str(folder / "images"),
    }
