"""WANDS, Wayfair's annotated search results (Chen et al., ECIR 2022): titles without pictures.

query.csv, product.csv and label.csv are separated by tabs whatever they are called.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from genfilt.ingest.formats.delimited import read_delimited
from genfilt.ingest.layouts.layout_files import find_required
from genfilt.ingest.readers import require_columns
from genfilt.ingest.sources import Sources

LABELS = {"Exact": 1, "Partial": 0, "Irrelevant": 0}
FOLDERS = ("", "dataset")
CATEGORIES = ("category hierarchy", "category_hierarchy", "product_class")


def read(folder: Path) -> Sources:
    """Read the three files of the dataset's folder, or of the repository around it."""
    products = _table(folder, "product.csv", ["product_id", "product_name"])
    category = next((name for name in CATEGORIES if name in products.column_names), None)
    columns = {"product_id": products["product_id"], "title": products["product_name"]}
    if category is not None:
        columns["category"] = products[category]
    if "image" in products.column_names:  # not published; who has pictures adds the column
        columns["image"] = products["image"]
    queries = _table(folder, "query.csv", ["query_id", "query"])
    labels = _table(folder, "label.csv", ["query_id", "product_id", "label"])
    return Sources(
        products=pa.table(columns),
        queries=queries.select(["query_id", "query"]),
        labels=labels.select(["query_id", "product_id", "label"]),
        label_map=LABELS,
    )


def _table(folder: Path, name: str, needed: list[str]) -> pa.Table:
    path = find_required(folder, name, FOLDERS)
    table = read_delimited(path, "\t")
    require_columns(table, needed, str(path), mapped=False)
    return table
