"""Texts, pictures and content numbers of the products, and the rows that a stage trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from genfilt.common import arrays
from genfilt.common.arrays import Bools, Integers
from genfilt.common.errors import UserError
from trainer.database.reading import arrow_table, columns, statement

if TYPE_CHECKING:
    import pyarrow as pa

REMEDY = {
    1: "no product of the train split; run genfilt ingest --products",
    2: "no positive click of the train split; run genfilt ingest --clicks, or use --stage 3",
    3: "no label of the train split; run genfilt ingest --labels, or stop after --stage 2",
}


@dataclass(frozen=True)
class ProductContents:
    """What each product is made of, by its number p: equal numbers, equal content."""

    title: Integers  # (products,)
    image: Integers  # products without a picture each have a number of their own
    feature: Integers  # f, -1 where there is none
    feature_title: Integers  # f_title, -1 where there is none
    feature_image: Integers  # f_image, -1 where there is none


@dataclass(frozen=True)
class Catalogue:
    """Texts and pictures by number: position q of `queries`, position p of all the others."""

    queries: pa.ChunkedArray
    product_ids: pa.ChunkedArray
    titles: pa.ChunkedArray
    images: pa.ChunkedArray  # paths; None where there is no readable picture file
    contents: ProductContents

    def texts(self, source: pa.ChunkedArray, numbers: Integers) -> list[str]:
        """Return the texts of numbers (B,), in their order."""
        return [text or "" for text in source.take(numbers).to_pylist()]


def load_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    """Read what the rows' numbers stand for."""
    table = arrow_table(connection, statement("catalogue"))
    numbers = {
        name: table[name].to_numpy().astype(np.int32)
        for name in ("title_number", "image_number", "f", "f_title", "f_image")
    }
    return Catalogue(
        queries=arrow_table(connection, statement("queries"))["query"],
        product_ids=table["product_id"],
        titles=table["title"],
        images=table["image"],
        contents=ProductContents(
            title=numbers["title_number"],
            image=numbers["image_number"],
            feature=numbers["f"],
            feature_title=numbers["f_title"],
            feature_image=numbers["f_image"],
        ),
    )


@dataclass(frozen=True)
class Rows:
    """A stage's rows: query q (-1 in stage 1), product p, whether the pair is positive."""

    query: Integers  # (N,)
    product: Integers
    positive: Bools

    def __len__(self) -> int:
        return len(self.product)

    def at(self, places: arrays.Rows) -> Rows:
        """Return the rows at places (B,)."""
        return Rows(self.query[places], self.product[places], self.positive[places])


def load_rows(
    connection: duckdb.DuckDBPyConnection, stage: int, catalogue: Catalogue
) -> tuple[Rows, list[tuple[str, str]]]:
    """Return a stage's rows, and (product id, reason) of the products left out of it.

    Stage 1 has a row for each train product, stage 2 for each train click that no review or label
    contradicts, stage 3 for each train label as its review corrects it.

    Raises:
        UserError: the database has no row for the stage.
    """
    table = columns(connection, statement(f"stage{stage}_rows"))
    product = np.asarray(table["p"], dtype=np.int32)
    if len(product) == 0:
        raise UserError(f"The database has {REMEDY[stage]}.")
    has_picture = np.asarray(catalogue.images.is_valid())[product]
    if not has_picture.any():
        raise UserError(
            f"None of the {len(product)} rows of stage {stage} has a picture file; "
            "run genfilt ingest with --images."
        )
    without = np.unique(product[~has_picture]).astype(np.int32)
    skipped = [
        (name, "no picture file") for name in catalogue.texts(catalogue.product_ids, without)
    ]
    rows = Rows(
        np.asarray(table["q"], dtype=np.int32),
        product,
        np.asarray(table["positive"], dtype=np.bool_),
    )
    return rows.at(np.flatnonzero(has_picture)), skipped
