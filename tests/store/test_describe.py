from __future__ import annotations

from pathlib import Path

from genfilt.store.describe import describe_tables
from genfilt.store.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_every_table_view_and_column_has_a_comment() -> None:
    with Store() as store:
        for relations in ("tables", "views", "columns"):
            lacking = store.rows(
                f"SELECT * FROM duckdb_{relations}() "
                "WHERE database_name = 'db' AND NOT internal AND coalesce(comment, '') = ''"
            )
            assert lacking == [], relations


def test_the_page_of_the_tables_is_up_to_date() -> None:
    with Store() as store:
        assert PAGE.read_text("utf-8") == describe_tables(store), (
            "run: python -m genfilt.store.describe > docs/tables.md"
        )
