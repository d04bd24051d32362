"""Known and found positives as rows of text and pictures, for other trainers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.common.output import check_ending, write_rows
from genfilt.store.store import Store

PAIRS_AT_A_TIME = 1 << 18  # whose texts are in memory at once

# One row for each distinct query and product content: equal listings are one example. By number and
# in the order of the file, since pairs with their texts would have to be sorted as a whole.
PAIRS = """
CREATE OR REPLACE TEMP TABLE exported_pairs AS
SELECT row_number() OVER (ORDER BY q, p) - 1 AS place, q, p, source, score
FROM (
    SELECT q, p, any_value(source) AS source, NULL::DOUBLE AS score
    FROM verdicts WHERE positive AND split = $split GROUP BY q, p
    UNION ALL
    SELECT c.q, n.p, 'genfilt', any_value(score)
    FROM qp_corrections c JOIN product_no n USING (f) JOIN products USING (product_id)
    WHERE products.split = $split
      -- Verdicts of other splits must not decide what is trained on.
      AND NOT EXISTS (FROM verdicts v
                      WHERE v.q = c.q AND v.p = n.p AND v.split IN ('train', $split))
    GROUP BY c.q, n.p
)
"""
QUERIES = """
CREATE OR REPLACE TEMP TABLE exported_queries AS
SELECT q, min(query) AS query FROM query_no JOIN queries USING (query_id) GROUP BY q
"""
PRODUCTS = """
CREATE OR REPLACE TEMP TABLE exported_products AS
SELECT p, min(title) AS title, min(CASE WHEN image_key IS NOT NULL THEN image END) AS image
FROM product_no JOIN products USING (product_id) GROUP BY p
"""
TEXTS = """
SELECT query, title, image, source, score
FROM (FROM exported_pairs WHERE place >= $first AND place < $first + $count)
JOIN exported_queries USING (q) JOIN exported_products USING (p)
ORDER BY place
"""


def export_positives(store: Store, path: Path, *, split: str = "train") -> int:
    """Write the split's positives and return their number.

    The file's ending decides the format: .parquet, .csv or .jsonl. Columns: query, title, image
    (absolute path, NULL without a picture), source (review, label, click or genfilt), score (of
    the correction, NULL for a verdict).

    Raises:
        UsageError: the ending names no format.
        UserError: there are no positives, or the file cannot be written.
    """
    check_ending(path)
    store.connection.execute(PAIRS, {"split": split})
    count = int(store.scalar("SELECT count(*) FROM exported_pairs"))
    if not count:
        raise UserError(
            f"{store.path} has no positives of the split {split}; ingest clicks or labels, "
            f"or run genfilt filter."
        )
    for texts in (QUERIES, PRODUCTS):
        store.connection.execute(texts)
    schema = store.stream(TEXTS, {"first": 0, "count": 0}).schema
    return write_rows(pa.RecordBatchReader.from_batches(schema, _rows(store, count)), path)


def _rows(store: Store, count: int) -> Iterator[pa.RecordBatch]:
    for first in range(0, count, PAIRS_AT_A_TIME):
        yield from store.stream(TEXTS, {"first": first, "count": PAIRS_AT_A_TIME})
