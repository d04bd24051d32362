"""Texts, pictures and content numbers of the products, and the rows that a stage trains on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from genfilt.common import arrays
from genfilt.common.arrays import Bools, Integers
from genfilt.common.errors import UserError
from trainer.database.column_files import ColumnFiles, answer, numbers_of
from trainer.database.reading import statement

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


def load_catalogue(connection: duckdb.DuckDBPyConnection, folder: Path | None = None) -> Catalogue:
    """Read what the rows' numbers stand for.

    Args:
        connection: of the database.
        folder: keeps the columns as files, which `stored_catalogue` maps; None for memory.
    """
    with ColumnFiles(folder) as files:
        files.append_answer("product", connection, statement("catalogue"))
        files.append_answer("query", connection, statement("queries"))
        return _catalogue(files)


def stored_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue that `load_catalogue` wrote to a folder, mapped."""
    return _catalogue(ColumnFiles(folder))


def _catalogue(files: ColumnFiles) -> Catalogue:
    return Catalogue(
        queries=files.texts("query.query"),
        product_ids=files.texts("product.product_id"),
        titles=files.texts("product.title"),
        images=files.texts("product.image"),
        contents=ProductContents(
            title=files.numbers("product.title_number"),
            image=files.numbers("product.image_number"),
            feature=files.numbers("product.f"),
            feature_title=files.numbers("product.f_title"),
            feature_image=files.numbers("product.f_image"),
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
    connection: duckdb.DuckDBPyConnection,
    stage: int,
    catalogue: Catalogue,
    folder: Path | None = None,
) -> tuple[Rows, list[tuple[str, str]]]:
    """Return a stage's rows, and (product id, reason) of the products left out of it.

    Stage 1 has a row for each train product, stage 2 for each train click that no review or label
    contradicts, stage 3 for each train label as its review corrects it.

    Args:
        connection: of the database.
        stage: 1, 2 or 3.
        catalogue: its products.
        folder: keeps the rows as files, which `stored_rows` maps; None for memory.

    Raises:
        UserError: the database has no row for the stage.
    """
    has_picture = np.asarray(catalogue.images.is_valid())
    found, without = 0, [np.empty(0, dtype=np.int32)]
    with ColumnFiles(folder) as files:
        for batch in answer(connection, statement(f"stage{stage}_rows")):
            product = numbers_of(batch["p"])
            shown = has_picture[product]
            found += len(product)
            without.append(np.unique(product[~shown]))
            for name in ("q", "p", "positive"):
                files.append(f"row.{name}", numbers_of(batch[name])[shown])
        rows = _rows(files) if found else None
    if rows is None:
        raise UserError(f"The database has {REMEDY[stage]}.")
    if not len(rows):
        raise UserError(
            f"None of the {found} rows of stage {stage} has a picture file; "
            "run genfilt ingest with --images."
        )
    missing = catalogue.texts(catalogue.product_ids, np.unique(np.concatenate(without)))
    return rows, [(name, "no picture file") for name in missing]


def stored_rows(folder: Path) -> Rows:
    """Return the rows that `load_rows` wrote to a folder, mapped."""
    return _rows(ColumnFiles(folder))


def _rows(files: ColumnFiles) -> Rows:
    return Rows(files.numbers("row.q"), files.numbers("row.p"), files.truths("row.positive"))
