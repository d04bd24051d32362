"""The list of tables and views with their comments, curated views first."""

from __future__ import annotations

import re

from genfilt.store.relation_names import in_order
from genfilt.store.schema import sql_text

COMMENTS = re.compile(r"^COMMENT ON (?:TABLE|VIEW) (\w+) IS '((?:[^']|'')*)';", re.MULTILINE)


def list_relations() -> list[dict[str, str]]:
    """Return rows of {"name", "comment"}: the curated views, then tables and other views."""
    text = sql_text("schema.sql") + sql_text("views.sql")
    comments = {name: comment.replace("''", "'") for name, comment in COMMENTS.findall(text)}
    return [{"name": name, "comment": comments[name]} for name in in_order(comments)]
