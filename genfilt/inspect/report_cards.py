"""The corrections that a report shows, with their pictures: of train products alone."""

from __future__ import annotations

from genfilt.common.photos import thumbnail
from genfilt.store.store import Store

CARDS = 24  # corrections in the gallery
CARDS_FROM = 20_000  # corrections that they are chosen from
TITLE_CARDS = 8  # image-title corrections

Card = dict[str, object]

# As many from each fifth of the scores, each query once while there are enough of them. The page
# shows a few, so where there are many only each n-th is looked at.
CARDS_SQL = """
SELECT query, title, attributes, caption, image, q_i, q_t, score, reasons FROM (
    SELECT c.*, products.image, row_number() OVER (PARTITION BY fifth ORDER BY turn, lot) AS place
    FROM (SELECT *, ntile(5) OVER (ORDER BY score DESC) AS fifth,
                 row_number() OVER (PARTITION BY query ORDER BY hash(product_id)) AS turn,
                 hash(query_id, product_id) AS lot
          FROM query_product_corrections
          WHERE split = 'train' AND hash(query_id, product_id) % $part = 0) c
    JOIN products USING (product_id)
) WHERE place <= $each ORDER BY score DESC LIMIT $cards
"""
TITLE_CARDS_SQL = """
WITH train AS (SELECT f, product_id FROM product_no JOIN products USING (product_id)
               WHERE split = 'train')
SELECT pictured.image, image_text AS caption, titled.title, i_t
FROM (FROM it_corrections ORDER BY hash(f_image, f_title) LIMIT $some) c
JOIN (SELECT f_image, image_text, min(product_id) AS product_id
      FROM features JOIN train USING (f) GROUP BY ALL) i USING (f_image)
JOIN (SELECT f_title, max(product_id) AS product_id
      FROM features JOIN train USING (f) GROUP BY ALL) t USING (f_title)
JOIN products pictured ON pictured.product_id = i.product_id
JOIN products titled ON titled.product_id = t.product_id
WHERE coalesce(i.product_id <> t.product_id, false)
ORDER BY hash(f_image, f_title) LIMIT $cards
"""


def correction_cards(store: Store, corrections: int) -> list[Card]:
    """Return up to CARDS corrections, from the highest score to the lowest.

    Args:
        store: the tables.
        corrections: the number of corrections of train products.
    """
    part = max(1, corrections // CARDS_FROM)
    return _cards(store, CARDS_SQL, {"each": -(-CARDS // 5), "cards": CARDS, "part": part})


def title_cards(store: Store) -> list[Card]:
    """Return up to TITLE_CARDS image-title corrections."""
    return _cards(store, TITLE_CARDS_SQL, {"some": 50 * TITLE_CARDS, "cards": TITLE_CARDS})


def _cards(store: Store, sql: str, parameters: dict[str, int]) -> list[Card]:
    rows = store.arrow(sql, parameters).to_pylist()
    return [{**row, "thumbnail": thumbnail(row["image"])} for row in rows]
