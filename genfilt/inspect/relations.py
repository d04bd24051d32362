"""The list of views and tables with their comments, curated views first."""

from __future__ import annotations

from genfilt.store.store import Store

# What a search engineer asks for; the other relations are what these are made of.
CURATED = (
    *("query_product_corrections", "image_title_corrections", "positives", "verdicts"),
    *("current_attributes", "current_captions"),
)
RELATIONS = """
SELECT view_name AS name, comment FROM duckdb_views() WHERE NOT internal
UNION ALL
SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal AND NOT temporary
"""


def list_relations(store: Store) -> list[dict[str, object]]:
    """Return rows of {"name", "rows", "comment"}: the curated views, then the tables."""
    comments: dict[str, str | None] = dict(store.rows(RELATIONS))
    ordered = [name for name in CURATED if name in comments]
    ordered += sorted(name for name in comments if name not in CURATED)
    return [{"name": name, "comment": comments[name] or ""} for name in ordered]
