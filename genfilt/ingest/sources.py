"""What one call of ingest is given: tables by kind, folders of pictures, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from genfilt.ingest.readers import Aliases

COLUMNS = {
    "products": ("product_id", "title", "image", "category", "split"),
    "queries": ("query_id", "query"),
    "clicks": ("query_id", "query", "product_id", "clicks", "split"),
    "labels": ("query_id", "query", "product_id", "label", "grade", "split"),
    "reviews": ("query_id", "product_id", "verdict", "reviewer", "note", "at"),
    "attributes": ("product_id", "core_word", "material", "brand", "color", "model_parameters"),
    "captions": ("product_id", "caption"),
}
REQUIRED = {
    "products": ("product_id", "title"),
    "queries": ("query_id", "query"),
    "clicks": ("query_id", "product_id"),
    "labels": ("query_id", "product_id", "label"),
    "reviews": ("query_id", "product_id", "verdict"),
    "attributes": ("product_id",),
    "captions": ("product_id", "caption"),
}


@dataclass(frozen=True)
class Sources:
    """The sources of one call; any subset.

    Attributes:
        products: a path (see `readers.read_source`) or an Arrow table, as the next four are.
        queries: query_id and query.
        clicks: query_id (or query alone), product_id and perhaps clicks, split.
        labels: query_id (or query alone), product_id, label and perhaps grade, split.
        reviews: query_id, product_id, verdict and perhaps reviewer, note, at.
        images: the folder below which pictures are looked for.
        download: the folder to which pictures that are addresses are downloaded.
        aliases: the source's column or columns by ours; one concerns the tables that have it.
        label_map: 0 or 1 by the source's word.
        min_clicks: pairs with fewer clicks are left out.
        min_grade: labels are numbers, and from this one on positive; None for 0 and 1.
        delimiter: of the text tables; None to find it.
        encoding: of the text tables; None to find it.
        attributes: product_id and some of core_word, material, brand, color, model_parameters.
        captions: product_id and caption.
    """

    products: str | pa.Table | None = None
    queries: str | pa.Table | None = None
    clicks: str | pa.Table | None = None
    labels: str | pa.Table | None = None
    reviews: str | pa.Table | None = None
    images: Path | None = None
    download: Path | None = None
    aliases: Aliases = field(default_factory=dict)
    label_map: Mapping[str, int] = field(default_factory=dict)
    min_clicks: int = 1
    min_grade: float | None = None
    delimiter: str | None = None
    encoding: str | None = None
    attributes: str | pa.Table | None = None
    captions: str | pa.Table | None = None

    def tables(self) -> dict[str, str | pa.Table]:
        """Return the tables that are given, by their kind."""
        given = {name: getattr(self, name) for name in COLUMNS}
        return {name: table for name, table in given.items() if table is not None}
