"""Feature texts: what is embedded for a title and for a picture, and the numbers they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.store.keys import normalize_query
from genfilt.store.store import Store

TEMPLATE = "brand color material core_word model_parameters; caption"  # stored with each filter

Numbers = npt.NDArray[np.int64]

# Brand, colour, material, core word, parameters, absent ones left out; no core word, the title.
DESCRIBE = """
CREATE OR REPLACE TEMP TABLE described AS
SELECT p, title AS written,
       CASE WHEN core_word IS NULL THEN title
               ELSE concat_ws(' ', brand, color, material, core_word, model_parameters)
          END AS title_text,
       caption AS image_text
FROM (SELECT p, min(title_key) AS title_key, min(image_key) AS image_key, min(title) AS title
      FROM product_no JOIN products USING (product_id) GROUP BY p)
LEFT JOIN current_attributes USING (title_key)
LEFT JOIN current_captions USING (image_key)
"""
NUMBER = """
INSERT INTO features
SELECT n.f, coalesce(titles.f, min(n.f) OVER (PARTITION BY n.title_text)),
       CASE WHEN n.image_text IS NOT NULL
            THEN coalesce(images.f, min(n.f) OVER (PARTITION BY n.image_text)) END,
       n.title_text, n.image_text, n.written
FROM (
    SELECT title_text, image_text, written, last.f + row_number() OVER (ORDER BY min(p)) AS f
    FROM described ANTI JOIN features known
         ON known.written = described.written AND known.title_text = described.title_text
        AND known.image_text IS NOT DISTINCT FROM described.image_text,
         (SELECT greatest((SELECT coalesce(max(f), -1) FROM features),
                          (SELECT coalesce(max(joined_f), -1) FROM filters)) AS f) last
    GROUP BY title_text, image_text, written, last.f
) n
LEFT JOIN (SELECT title_text, min(f_title) AS f FROM features GROUP BY 1) titles
       ON titles.title_text = n.title_text
LEFT JOIN (SELECT image_text, min(f_image) AS f FROM features GROUP BY 1) images
       ON images.image_text = n.image_text
"""
PLACE = """
UPDATE product_no SET f = found.f
FROM (SELECT p, features.f FROM described JOIN features
      ON features.written = described.written AND features.title_text = described.title_text
     AND features.image_text IS NOT DISTINCT FROM described.image_text) found
WHERE product_no.p = found.p AND product_no.f IS DISTINCT FROM found.f
"""
FORGET = (
    "DELETE FROM features WHERE f NOT IN (SELECT f FROM product_no WHERE f IS NOT NULL) "
    "AND f NOT IN (SELECT f_title FROM features JOIN product_no USING (f)) "
    "AND f NOT IN (SELECT f_image FROM features JOIN product_no USING (f) "
    "              WHERE f_image IS NOT NULL)",
    "DELETE FROM query_keys WHERE q NOT IN (SELECT q FROM query_no)",
)


def number_features(store: Store) -> None:
    """Give every distinct triple of texts its f, and every product the f of its texts.

    They are the feature texts of title and picture, and the title as written, which the calibrated
    rule reads: "Bella Tank" and "Atlas Tank" are both a "tank", and shoppers know which is whose.

    Texts and queries that nothing has any more are forgotten; their numbers are not given again.
    """
    with store.transaction():
        for sql in (DESCRIBE, NUMBER, PLACE, *FORGET):
            store.connection.execute(sql)


@dataclass(frozen=True)
class Texts:
    """Distinct texts with their numbers, in the order of the numbers."""

    numbers: Numbers  # (N,)
    texts: list[str]

    def rows_of(self, numbers: Numbers) -> Numbers:
        """Return where each number stands."""
        return np.searchsorted(self.numbers, numbers)


@dataclass(frozen=True)
class Features:
    """The distinct (title text, picture text) pairs that have both."""

    f: Numbers  # (F,)
    f_title: Numbers  # (F,)
    f_image: Numbers  # (F,)


def load_queries(store: Store) -> Texts:
    """Return the distinct queries; where spellings share a key, the first in order stands."""
    rows = store.rows(
        "SELECT q, min(query) FROM query_no JOIN queries USING (query_id) GROUP BY q ORDER BY q"
    )
    pairs = [(q, text) for q, query in rows if (text := normalize_query(query))]
    return Texts(np.array([q for q, _ in pairs], dtype=np.int64), [text for _, text in pairs])


def load_texts(store: Store, kind: str) -> Texts:
    """Return the distinct texts of kind "title" or "image" by their f_title or f_image."""
    rows = store.rows(
        f"SELECT f_{kind}, min({kind}_text) FROM features "
        f"WHERE {kind}_text <> '' GROUP BY f_{kind} ORDER BY f_{kind}"
    )
    return Texts(np.array([f for f, _ in rows], dtype=np.int64), [text for _, text in rows])


def load_features(store: Store) -> Features:
    """Return the pairs of texts that the rules score; without a caption there is no pair."""
    table = store.arrow(
        "SELECT f, f_title, f_image FROM features "
        "WHERE image_text <> '' AND title_text <> '' ORDER BY f"
    )
    f, f_title, f_image = (
        table[name].to_numpy().astype(np.int64) for name in ("f", "f_title", "f_image")
    )
    return Features(f, f_title, f_image)
