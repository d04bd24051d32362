"""Known and found positives as rows of text and pictures, for other trainers."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.common.output import check_ending, write_rows
from genfilt.store.store import Store

# One row for each distinct query and product content: equal listings are one example.
POSITIVES = """
SELECT query, title, image, source, score
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
JOIN (SELECT q, min(query) AS query FROM query_no JOIN queries USING (query_id) GROUP BY q)
    USING (q)
JOIN (SELECT p, min(title) AS title,
             min(CASE WHEN image_key IS NOT NULL THEN image END) AS image
      FROM product_no JOIN products USING (product_id) GROUP BY p)
    USING (p)
ORDER BY q, p
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
    batches = store.stream(POSITIVES, {"split": split})
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        raise UserError(
            f"{store.path} has no positives of the split {split}; ingest clicks or labels, "
            f"or run genfilt filter."
        )
    rows = pa.RecordBatchReader.from_batches(batches.schema, chain([first], batches))
    return write_rows(rows, path)
