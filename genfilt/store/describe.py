"""The page docs/tables.md, generated from the comments of the schema."""

from __future__ import annotations

import sys

from genfilt.common.duckdb_file import DATABASE
from genfilt.store.store import Store

HEAD = """\
# Tables and views

The database is one DuckDB file. `genfilt sql` queries it read-only; other DuckDB clients from
version 1.4 on read it too. This page is generated from the comments of the schema:
`python -m genfilt.store.describe > docs/tables.md`.
"""
RELATIONS = """
SELECT view_name AS name, comment FROM duckdb_views()
WHERE database_name = ? AND NOT internal AND $views
UNION ALL
SELECT table_name, comment FROM duckdb_tables() WHERE database_name = ? AND NOT $views
ORDER BY name
"""
COLUMNS = """
SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE database_name = ? AND table_name = ? ORDER BY column_index
"""


def describe_tables(store: Store) -> str:
    """Return the page as Markdown: the views, which people query, then the tables."""
    parts = [HEAD]
    for title, views in (("Views", "true"), ("Tables", "false")):
        relations = store.rows(RELATIONS.replace("$views", views), [DATABASE, DATABASE])
        parts.append(f"## {title}\n")
        parts.extend(f"- [`{name}`](#{name})" for name, _ in relations)
        for name, comment in relations:
            parts += [f"\n### {name}\n", f"{comment}.\n", *_columns(store, name, views == "false")]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _columns(store: Store, name: str, table: bool) -> list[str]:
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for column, kind, nullable, comment in store.rows(COLUMNS, [DATABASE, name]):
        null = " or NULL" if table and nullable else ""
        lines.append(f"| `{column}` | {kind}{null} | {comment} |")
    return lines


if __name__ == "__main__":
    with Store() as opened:
        sys.stdout.write(describe_tables(opened))
