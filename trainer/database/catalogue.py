"""What the database's numbers stand for, and the rows that a stage trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from genfilt.common.errors import UserError
from trainer.batches.mask import Contents
from trainer.database.known_pairs import Integers, columns

if TYPE_CHECKING:
    import pyarrow as pa

# Every number up to the largest has a line, so that position is number; gaps hold NULLs.
CATALOGUE = """
WITH one AS (
    SELECT p, min(product_id) AS product_id, arg_min(title, product_id) AS title,
           arg_min(image, product_id) AS image, any_value(title_key) AS title_key,
           any_value(image_key) AS image_key, any_value(f) AS f
    FROM products JOIN product_no USING (product_id) GROUP BY p
)
SELECT product_id, title, CASE WHEN image_key IS NOT NULL THEN image END AS image,
       coalesce(dense_rank() OVER (ORDER BY title_key), 0)::INTEGER AS title_number,
       (CASE WHEN image_key IS NULL THEN -2 - n
             ELSE dense_rank() OVER (ORDER BY image_key NULLS FIRST) END)::INTEGER AS image_number,
       coalesce(f, -1) AS f, coalesce(f_title, -1) AS f_title, coalesce(f_image, -1) AS f_image
FROM range((SELECT coalesce(max(p), -1) + 1 FROM product_no)) numbers(n)
LEFT JOIN one ON p = n LEFT JOIN features USING (f)
ORDER BY n
"""
QUERIES = """
SELECT any_value(query) AS query
FROM range((SELECT coalesce(max(q), -1) + 1 FROM query_no)) numbers(n)
LEFT JOIN query_no ON q = n LEFT JOIN queries USING (query_id)
GROUP BY n ORDER BY n
"""
KNOWN = "JOIN (FROM verdicts WHERE split = 'train') AS known USING (q, p)"
ROWS = {
    1: """
        SELECT DISTINCT -1 AS q, p, true AS positive
        FROM products JOIN product_no USING (product_id) WHERE split = 'train' ORDER BY p""",
    2: f"""
        SELECT DISTINCT q, p, known.positive
        FROM clicks JOIN query_no USING (query_id) JOIN product_no USING (product_id) {KNOWN}
        WHERE clicks.split = 'train' AND known.positive ORDER BY q, p""",
    3: f"""
        SELECT DISTINCT q, p, known.positive
        FROM labels JOIN query_no USING (query_id) JOIN product_no USING (product_id) {KNOWN}
        WHERE labels.split = 'train' ORDER BY q, p""",
}
REMEDY = {
    1: "no product of the train split; run genfilt ingest --products",
    2: "no train click that stands; run genfilt ingest --clicks, or go on with --stage 3",
    3: "no train label; run genfilt ingest --labels, or stop after --stage 2",
}


@dataclass(frozen=True)
class Catalogue:
    """Texts and pictures by number: position q of `queries`, position p of all the others."""

    queries: pa.ChunkedArray
    product_ids: pa.ChunkedArray
    titles: pa.ChunkedArray
    images: pa.ChunkedArray  # paths; None where there is no readable picture file
    contents: Contents

    def texts(self, source: pa.ChunkedArray, numbers: Integers) -> list[str]:
        """Return the texts of numbers (B,), in their order."""
        return [text or "" for text in source.take(numbers).to_pylist()]


def load_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    """Read what the rows' numbers stand for."""
    table = _arrow(connection, CATALOGUE)
    numbers = {
        name: table[name].to_numpy().astype(np.int32)
        for name in ("title_number", "image_number", "f", "f_title", "f_image")
    }
    return Catalogue(
        queries=_arrow(connection, QUERIES)["query"],
        product_ids=table["product_id"],
        titles=table["title"],
        images=table["image"],
        contents=Contents(
            title=numbers["title_number"],
            image=numbers["image_number"],
            feature=numbers["f"],
            feature_title=numbers["f_title"],
            feature_image=numbers["f_image"],
        ),
    )


def _arrow(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    table: Any = connection.sql(sql).to_arrow_table()
    return table


@dataclass(frozen=True)
class Rows:
    """A stage's rows: query q (-1 in stage 1), product p, whether the pair is positive."""

    query: Integers  # (N,)
    product: Integers
    positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.product)

    def at(self, places: NDArray[np.int64]) -> Rows:
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
    made = columns(connection, ROWS[stage])
    product = np.asarray(made["p"], dtype=np.int32)
    if len(product) == 0:
        raise UserError(f"The database has {REMEDY[stage]}.")
    pictured = np.asarray(catalogue.images.is_valid())[product]
    if not pictured.any():
        raise UserError(
            f"None of the {len(product)} rows of stage {stage} has a picture file; "
            "run genfilt ingest with --images."
        )
    without = np.unique(product[~pictured]).astype(np.int32)
    skipped = [
        (name, "no picture file") for name in catalogue.texts(catalogue.product_ids, without)
    ]
    rows = Rows(
        np.asarray(made["q"], dtype=np.int32), product, np.asarray(made["positive"], dtype=np.bool_)
    )
    return rows.at(np.flatnonzero(pictured)), skipped
