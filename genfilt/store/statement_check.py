"""The check that a query is one reading statement over genfilt's relations, by DuckDB's parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb

from genfilt.common.errors import UserError
from genfilt.store.relation_names import closest

QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
TABLE_REFERENCES = {
    *("BASE_TABLE", "TABLE_FUNCTION", "SHOW_REF"),
    *("SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "PIVOT"),
}
CATALOGUE = {"duckdb_tables", "duckdb_columns", "duckdb_views"}  # relations and table functions
TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "json_each", "json_tree"} | CATALOGUE
SHOWN = {'"tables"', "__show_tables_expanded"}  # SHOW TABLES; SHOW ALL TABLES and DESCRIBE
# They read the process's state, write, or wait.
REFUSED_FUNCTIONS = {
    *("current_setting", "getenv", "getvariable", "nextval", "currval", "setval"),
    *("setseed", "write_log", "sleep_ms", "stats", "error"),
}
# Syntax that the parser writes as a function and the binder resolves without the catalogue.
SYNTAX_FUNCTIONS = {"unnest", "columns", "alias", "grouping", "grouping_id", "count_star"}
# Each comment can be matched in one way alone, or many would take exponential time.
GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*+\*/)*+"
EXPLAIN = re.compile(
    rf"(?:{GAP};)*+{GAP}explain\b{GAP}(?:analyze\b)?(?:\s*\([^()]*\))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Names:
    """The names that a statement may use, in lower case.

    Attributes:
        tables: genfilt's tables in the file.
        views: genfilt's views, temporary in the connection.
        functions: DuckDB's own functions.
        schemas: catalogues and schemas, which no function may be taken from by name.
    """

    tables: frozenset[str]
    views: frozenset[str]
    functions: frozenset[str]
    schemas: frozenset[str]


def known_names(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], views: Iterable[str]
) -> Names:
    """Return the names that statements on a connection may use."""

    def column(sql: str) -> frozenset[str]:
        return frozenset(str(name).lower() for (name,) in connection.execute(sql).fetchall())

    return Names(
        frozenset(tables),
        frozenset(views),
        column("SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal"),
        column("SELECT schema_name FROM duckdb_schemas() UNION FROM (SHOW DATABASES)")
        | {"system", "temp"},
    )


def check_statement(connection: duckdb.DuckDBPyConnection, text: str, names: Names) -> None:
    """Refuse whatever is not one statement that only reads genfilt's tables and views.

    Raises:
        UserError: what the statement is, or the name in it that is not allowed.
        duckdb.Error: the text is not SQL.
    """
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise UserError(f"The query must be one statement, got {len(statements)}; give one alone.")
    kind = _kind(statements[0])
    if kind == "EXPLAIN":
        found = EXPLAIN.match(text)
        text = text[found.end() :] if found else text
    answer = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0]
    try:
        tree = json.loads(answer)
        if tree.get("error") or len(tree["statements"]) != 1:
            allowed = "one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"
            raise _refused("The query", f"{allowed}, got {kind}")
        _check(tree["statements"][0], frozenset(), names)
    except RecursionError:
        raise UserError("The query is nested too deeply; use fewer subqueries.") from None


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # the Python binding does not name every kind
        return "another statement"


def _refused(what: str, allowed: str) -> UserError:
    return UserError(f"{what} must be {allowed}; genfilt sql only reads genfilt's own tables.")


def _check(node: object, temporary: frozenset[str], names: Names) -> None:
    """Check a part of the syntax tree; `temporary` are the CTEs in whose scope it stands."""
    if isinstance(node, list):
        for part in node:
            _check(part, temporary, names)
    if not isinstance(node, dict):
        return
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in QUERY_NODES:
        raise _refused("A WITH clause", f"made of SELECT statements, got {kind.split('_')[0]}")
    if {"alias", "sample"} <= node.keys() and kind not in TABLE_REFERENCES:
        raise _refused("The FROM clause", f"made of tables, views and subqueries, got {kind}")
    if kind == "RECURSIVE_CTE_NODE":
        temporary |= {str(node["cte_name"]).lower()}
    for name, query in _common_tables(node):
        _check(query, temporary, names)
        temporary |= {name}
    if kind == "BASE_TABLE" or (kind == "SHOW_REF" and node["table_name"]):
        _check_relation(node, temporary, names)
    if kind == "TABLE_FUNCTION":
        _check_table_function(node["function"])
    if "function_name" in node:
        _check_function(node, names)
    for key, part in node.items():
        if key != "cte_map":
            _check(part, temporary, names)


def _common_tables(node: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the name and the query of each CTE of a query node, in their order."""
    entries = node.get("cte_map")
    for entry in entries["map"] if isinstance(entries, dict) else ():
        yield str(entry["key"]).lower(), entry["value"]


def _path(node: dict[str, object]) -> list[str]:
    """Return a qualified name's parts, in lower case."""
    name = "table_name" if "table_name" in node else "function_name"
    schema = node.get("schema_name", node.get("schema", ""))
    parts = (node.get("catalog_name", node.get("catalog", "")), schema, node[name])
    return [str(part).lower() for part in parts if part]


def _check_relation(node: dict[str, object], temporary: frozenset[str], names: Names) -> None:
    path = _path(node)
    allowed = names.tables | names.views | temporary | CATALOGUE
    if node["type"] == "SHOW_REF":
        allowed |= SHOWN
    if path[:-1]:  # in the file a view may have the name of one of ours
        allowed = names.tables if path[:-1] in (["db"], ["main"], ["db", "main"]) else frozenset()
    if path[-1] not in allowed:
        found = ".".join(path)
        meant = closest(path[-1], names.tables | names.views)
        hint = f" (did you mean {meant}?)" if meant else ""
        raise _refused(
            f"The table or view {found}", f"one that genfilt sql without a query lists{hint}"
        )


def _check_table_function(node: dict[str, object]) -> None:
    path = _path(node)
    if len(path) > 1 or path[0] not in TABLE_FUNCTIONS:
        allowed = ", ".join(sorted(TABLE_FUNCTIONS))
        raise _refused(f"The table function {'.'.join(path)}", f"one of {allowed}")


def _check_function(node: dict[str, object], names: Names) -> None:
    *qualifiers, name = _path(node)
    # title.lower() is lower(title); with a schema before the dot it is a function of the file.
    qualified = len(qualifiers) > 1 or bool(names.schemas.intersection(qualifiers))
    known = name in names.functions | SYNTAX_FUNCTIONS and name not in REFUSED_FUNCTIONS
    if qualified or not known:
        raise _refused(f"The function {'.'.join([*qualifiers, name])}", "one of DuckDB's that read")
