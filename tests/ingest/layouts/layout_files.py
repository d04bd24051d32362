"""Writers of small files in the public layouts."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from genfilt.ingest.ingest import ingest
from genfilt.ingest.layouts import CatalogueLayout, with_layout
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store


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
