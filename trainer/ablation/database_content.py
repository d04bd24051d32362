"""Counts, filter, corrections and generated texts of a genfilt database, for a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import duckdb

from genfilt.common.errors import UserError
from trainer.database.catalogue import load_catalogue, load_rows
from trainer.database.known_pairs import count_new_corrections
from trainer.database.reading import open_database

COUNTS = """
SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM queries),
       (SELECT count(*) FROM clicks), (SELECT count(*) FROM labels), (SELECT count(*) FROM reviews)
"""
FILTER = "SELECT any_value(rule), any_value(sigma), any_value(llm), any_value(captioner) \
FROM filters WHERE current"
# Pairs with a label of a split that no fit has seen; one is found where it passes the filter.
FOUND = """
SELECT category, count(*) AS pairs,
       count(*) FILTER (WHERE positive) AS relevant,
       count(*) FILTER (WHERE found) AS found,
       count(*) FILTER (WHERE positive AND found) AS found_relevant
FROM (
    SELECT DISTINCT v.q, v.p, v.positive,
           coalesce(any_value(category) OVER (PARTITION BY v.p), 'no category') AS category,
           EXISTS (FROM qp_corrections c WHERE c.q = v.q AND c.f = n.f) AS found
    FROM verdicts v JOIN product_no n USING (p) JOIN products USING (product_id)
    WHERE v.split = ? AND v.source <> 'click'
) GROUP BY ROLLUP (category) ORDER BY category NULLS LAST
"""
TYPES = """
SELECT p, min(lower(a.core_word)) AS type FROM product_no JOIN products USING (product_id)
JOIN current_attributes a USING (title_key) WHERE a.core_word IS NOT NULL GROUP BY p ORDER BY p
"""
MIN_OF_TYPE = 3  # products of a split, for a mean of them to say anything
# A few of each category, in an order that depends on the titles' keys alone.
GENERATED = """
SELECT title, concat_ws('; ', 'core word: ' || a.core_word, 'material: ' || a.material,
           'brand: ' || a.brand, 'color: ' || a.color,
           'model parameters: ' || a.model_parameters) AS attributes, image, caption
FROM products LEFT JOIN current_attributes a USING (title_key)
LEFT JOIN current_captions c USING (image_key)
QUALIFY row_number() OVER (PARTITION BY category ORDER BY title_key, product_id) <= ?
ORDER BY category, title_key, product_id
"""


@dataclass(frozen=True)
class DatabaseContent:
    """A database's counts and its current filter.

    Corrections are those that training can use: of train products, without a verdict.
    """

    products: int
    queries: int
    clicks: int
    labels: int
    reviews: int
    query_product_corrections: int
    image_title_corrections: int
    rule: str | None
    sigma: float | None
    llm: str | None
    captioner: str | None


@dataclass(frozen=True)
class FoundPairs:
    """Judged pairs of a category, None for all, and how many of them genfilt corrects."""

    category: str | None
    pairs: int
    relevant: int
    found: int
    found_relevant: int


@dataclass(frozen=True)
class GeneratedTexts:
    """What generators made of a product's title and picture."""

    title: str
    attributes: str
    image: str | None  # path of the picture
    caption: str | None


def content_of(db: Path) -> DatabaseContent:
    """Return a database's counts and its current filter.

    Raises:
        UserError: it cannot be opened.
    """
    with open_database(db) as connection:
        (counts,) = connection.execute(COUNTS).fetchall()
        corrections = count_new_corrections(connection)
        (current,) = connection.execute(FILTER).fetchall()
    products, queries, clicks, labels, reviews = counts
    rule, sigma, llm, captioner = current
    return DatabaseContent(
        products=products,
        queries=queries,
        clicks=clicks,
        labels=labels,
        reviews=reviews,
        query_product_corrections=corrections.query_product,
        image_title_corrections=corrections.image_title,
        rule=rule,
        sigma=sigma,
        llm=llm,
        captioner=captioner,
    )


def product_types(
    connection: duckdb.DuckDBPyConnection, products: Collection[int]
) -> dict[int, str]:
    """Return the core word of each of these products whose word MIN_OF_TYPE of them share."""
    rows = connection.execute(TYPES).fetchall()
    found = {int(p): str(word) for p, word in rows if p in products}
    counts = Counter(found.values())
    return {p: word for p, word in found.items() if counts[word] >= MIN_OF_TYPE}


def stages_of(db: Path) -> tuple[int, ...]:
    """Return the stages that a database has rows for.

    Raises:
        UserError: it has not even products of the train split.
    """
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        load_rows(connection, 1, catalogue)
        found = [1]
        for stage in (2, 3):
            try:
                load_rows(connection, stage, catalogue)
            except UserError:
                continue
            found.append(stage)
    return tuple(found)


def found_by_category(db: Path, split: str) -> list[FoundPairs]:
    """Return the judged pairs of a split by category, then of all, and which are corrected."""
    with open_database(db) as connection:
        rows = [FoundPairs(*row) for row in connection.execute(FOUND, [split]).fetchall()]
    return [row for row in rows if row.pairs]


def generated_texts(db: Path, each: int = 2) -> list[GeneratedTexts]:
    """Return title, attributes and caption of `each` products of every category."""
    with open_database(db) as connection:
        return [GeneratedTexts(*row) for row in connection.execute(GENERATED, [each]).fetchall()]
