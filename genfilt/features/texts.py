"""Feature texts: what is embedded for a title and for a picture, and the numbers they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Bools, Rows
from genfilt.store.keys import normalize_query
from genfilt.store.numbering import number_described
from genfilt.store.store import Store

# Stored with each filter; a change makes the next filter join anew.
TEMPLATE = "brand color material core_word model_parameters, each word once; caption"

NO_IMAGE = -1  # in place of f_image

# Brand, colour, material, core word, parameters, absent ones left out; no core word, the title. Of
# equal words the first stays: "leather" may be material and part of the core word.
DESCRIBE = """
CREATE OR REPLACE TEMP TABLE described AS
SELECT p, title AS written,
       CASE WHEN core_word IS NULL THEN title
            ELSE array_to_string(list_filter(words, lambda word, place:
                     list_position(plain, lower(rtrim(word, ','))) = place), ' ')
       END AS title_text,
       image_text
FROM (SELECT *, list_transform(words, lambda word: lower(rtrim(word, ','))) AS plain FROM (
SELECT p, title, core_word, caption AS image_text,
       string_split(concat_ws(' ', brand, color, material, core_word, model_parameters), ' ')
           AS words
FROM (SELECT p, min(title_key) AS title_key, min(image_key) AS image_key, min(title) AS title
      FROM product_no JOIN products USING (product_id) GROUP BY p)
LEFT JOIN current_attributes USING (title_key)
LEFT JOIN current_captions USING (image_key)
))
"""


def number_features(store: Store) -> None:
    """Give every distinct triple of texts its f, and every product the f of its texts.

    They are the feature texts of title and picture, and the title as written, which the calibrated
    rule reads: "Bella Tank" and "Atlas Tank" are both a "tank", and shoppers know which is whose.

    Texts and queries that nothing has any more are forgotten; their numbers are not given again.
    """
    with store.transaction():
        store.connection.execute(DESCRIBE)
        number_described(store)


@dataclass(frozen=True)
class Texts:
    """Distinct texts with their numbers, in the order of the numbers."""

    numbers: Rows  # (N,)
    texts: list[str]

    def rows_of(self, numbers: Rows) -> Rows:
        """Return where each number stands."""
        return np.searchsorted(self.numbers, numbers)


@dataclass(frozen=True)
class Features:
    """The distinct products by their texts, in the order of f; those without a title left out."""

    f: Rows  # (F,)
    f_title: Rows  # (F,)
    f_image: Rows  # (F,), NO_IMAGE without a caption

    @property
    def pictured(self) -> Bools:
        """Products that have a caption, (F,)."""
        return np.asarray(self.f_image != NO_IMAGE)


def load_queries(store: Store) -> Texts:
    """Return the distinct queries; where spellings share a key, the first in order stands."""
    rows = store.rows(
        "SELECT q, min(query) FROM query_no JOIN queries USING (query_id) GROUP BY q ORDER BY q"
    )
    pairs = [(q, text) for q, query in rows if (text := normalize_query(query))]
    return Texts(np.array([q for q, _ in pairs], dtype=np.int64), [text for _, text in pairs])


def texts_of_kind(kind: str) -> str:
    """Return the SQL of the distinct texts of kind "title" or "image": number and text."""
    return (
        f"SELECT f_{kind} AS number, min({kind}_text) AS text FROM features "
        f"WHERE {kind}_text <> '' GROUP BY f_{kind}"
    )


def load_numbers(store: Store, kind: str) -> Rows:
    """Return the f_title or f_image of the distinct texts of a kind, ascending."""
    numbers = store.arrow(f"SELECT number FROM ({texts_of_kind(kind)}) ORDER BY number")["number"]
    return np.asarray(numbers.to_numpy(), dtype=np.int64)


def load_texts(store: Store, kind: str) -> Texts:
    """Return the distinct texts of kind "title" or "image" by their f_title or f_image."""
    rows = store.rows(f"SELECT number, text FROM ({texts_of_kind(kind)}) ORDER BY number")
    return Texts(np.array([f for f, _ in rows], dtype=np.int64), [text for _, text in rows])


def load_features(store: Store) -> Features:
    """Return the texts that the rules score; a product without a caption has its title alone."""
    table = store.arrow(
        "SELECT f, f_title, CASE WHEN image_text <> '' THEN f_image END AS f_image FROM features "
        "WHERE title_text <> '' ORDER BY f"
    )
    columns = [table[name].fill_null(NO_IMAGE) for name in ("f", "f_title", "f_image")]
    return Features(*(column.to_numpy().astype(np.int64) for column in columns))
