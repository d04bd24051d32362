"""What the report reads of a database beside the benchmark: its filter, and what was generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genfilt.common.errors import UserError
from trainer.database.catalogue import load_catalogue, load_rows
from trainer.database.known_pairs import open_database

CONTENT = """
SELECT (SELECT count(*) FROM products) AS products,
       (SELECT count(*) FROM queries) AS queries,
       (SELECT count(*) FROM clicks) AS clicks,
       (SELECT count(*) FROM labels) AS labels,
       (SELECT count(*) FROM reviews) AS reviews,
       (SELECT count(*) FROM query_product_corrections) AS query_product_corrections,
       (SELECT count(*) FROM it_corrections) AS image_title_corrections,
       (SELECT any_value(rule) FROM filters WHERE current) AS rule,
       (SELECT any_value(sigma) FROM filters WHERE current) AS sigma,
       (SELECT any_value(llm) FROM filters WHERE current) AS llm,
       (SELECT any_value(captioner) FROM filters WHERE current) AS captioner
"""
# Judged by labels and reviews of a split that no fit has seen; a pair is found where it passes.
FOUND = """
SELECT category, count(*) AS pairs,
       count(*) FILTER (WHERE positive) AS relevant,
       count(*) FILTER (WHERE found) AS found,
       count(*) FILTER (WHERE positive AND found) AS right_ones
FROM (
    SELECT DISTINCT v.q, v.p, v.positive,
           coalesce(any_value(category) OVER (PARTITION BY v.p), 'none') AS category,
           EXISTS (FROM qp_corrections c WHERE c.q = v.q AND c.f = n.f) AS found
    FROM verdicts v JOIN product_no n USING (p) JOIN products USING (product_id)
    WHERE v.split = ? AND v.source <> 'click'
) GROUP BY ROLLUP (category) ORDER BY category NULLS LAST
"""
# A few of each category, in an order that hangs on the titles' keys alone.
SAID = """
SELECT title, concat_ws('; ', 'core word: ' || a.core_word, 'material: ' || a.material,
           'brand: ' || a.brand, 'color: ' || a.color,
           'model parameters: ' || a.model_parameters) AS attributes, caption
FROM products LEFT JOIN current_attributes a USING (title_key)
LEFT JOIN current_captions c USING (image_key)
QUALIFY row_number() OVER (PARTITION BY category ORDER BY title_key, product_id) <= ?
ORDER BY category, title_key, product_id
"""


def content_of(db: Path) -> dict[str, Any]:
    """Return a database's counts and its current filter.

    Raises:
        UserError: it cannot be opened.
    """
    return rows_of(db, CONTENT)[0]


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


def found_by_category(db: Path, split: str) -> list[dict[str, Any]]:
    """Return, for each category and then for all (None), how right the corrections are.

    Each row has category, pairs, relevant, found, right_ones: judged pairs of the split.
    """
    rows = rows_of(db, FOUND, [split])
    return [row for row in rows if row["pairs"]]


def said_by_generators(db: Path, each: int = 2) -> list[dict[str, Any]]:
    """Return title, attributes and caption of `each` products of every category."""
    return rows_of(db, SAID, [each])


def rows_of(db: Path, sql: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    """Return an answer's rows by column name."""
    with open_database(db) as connection:
        cursor = connection.execute(sql, values or [])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
