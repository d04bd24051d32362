"""Counts of corrections, which status, report and filter print alike.

A correction counts as new when its product is of the train split and no click, label or review of
any split covers the pair: training can use it, and nothing knew it. Pairs with a verdict of the
train split are no corrections. What a val verdict says of a correction is a free measurement of
the filter; test verdicts are read by `genfilt audit --split test` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from genfilt.common.statistics import wilson_interval
from genfilt.store.store import Store

# By id, as the view has them.
CORRECTIONS = """
SELECT count(*), count(*) FILTER (split = 'train'), count(*) FILTER (new),
       count(DISTINCT query_id) FILTER (new), count(DISTINCT product_id) FILTER (new)
FROM (SELECT query_id, product_id, split, split = 'train' AND held_out_verdict IS NULL AS new
      FROM query_product_corrections)
"""
# Written out by id these grow with the square of the equal listings; here each pair of texts
# counts once, if it concerns more than one train product.
TITLE_PAIRS = """
WITH train AS (SELECT f, p FROM product_no JOIN products USING (product_id) WHERE split = 'train')
SELECT count(*) FROM it_corrections
JOIN (SELECT f_image, min(p) AS low, max(p) AS high
      FROM features JOIN train USING (f) GROUP BY f_image) image USING (f_image)
JOIN (SELECT f_title, min(p) AS low, max(p) AS high
      FROM features JOIN train USING (f) GROUP BY f_title) title USING (f_title)
WHERE image.low <> image.high OR title.low <> title.high OR image.low <> title.low
"""
# Distinct contents, so that equal listings do not repeat an answer.
VAL_VERDICTS = """
SELECT count(*), count(*) FILTER (positive)
FROM (SELECT DISTINCT c.q, n.p, v.positive FROM qp_corrections c JOIN product_no n USING (f)
      JOIN verdicts v ON v.q = c.q AND v.p = n.p AND v.split = 'val' AND v.source <> 'click')
     judged
ANTI JOIN (FROM verdicts WHERE split = 'train') known USING (q, p)
"""


@dataclass(frozen=True)
class CorrectionCounts:
    """Counts of the current filter's corrections.

    Attributes:
        pairs: query-product corrections by id, of products of all splits.
        train: those of train products.
        new: those of train products that no verdict of any split covers.
        new_queries: queries with a new correction.
        new_products: products with a new correction.
        title_pairs: image-title corrections of train products, by distinct texts.
    """

    pairs: int
    train: int
    new: int
    new_queries: int
    new_products: int
    title_pairs: int


@dataclass(frozen=True)
class ValAudit:
    """What val labels say of the corrections that they cover."""

    judged: int
    relevant: int

    @property
    def precision(self) -> float:
        """The share of relevant pairs among the judged."""
        return self.relevant / self.judged

    def __str__(self) -> str:
        low, high = wilson_interval(self.precision, self.judged)
        return (
            f"{self.judged:,} of all corrections have a val label and {self.relevant:,} of these "
            f"are relevant: {self.precision:.3f} (95 %: {low:.3f} to {high:.3f})"
        )


def count_corrections(store: Store) -> CorrectionCounts:
    """Count the current filter's corrections."""
    (row,) = store.rows(CORRECTIONS)
    return CorrectionCounts(*map(int, (*row, store.scalar(TITLE_PAIRS))))


def val_audit(store: Store) -> ValAudit | None:
    """Return what val labels say of the corrections, None where they cover none."""
    ((judged, relevant),) = store.rows(VAL_VERDICTS)
    return ValAudit(int(judged), int(relevant)) if judged else None
