"""Writing of ingested rows into the tables, with their numbers, inside one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from genfilt.common.console import complain
from genfilt.ingest.given_texts import write_given
from genfilt.ingest.pictures import FILE_SCHEMA
from genfilt.store.failures import Failure
from genfilt.store.numbering import number_products, numbered_queries
from genfilt.store.store import Store

KEYS = {"products": 3, "queries": 3}  # a row's keys: its own, its number's and its content's


@dataclass
class Prepared:
    """What one call of ingest has read and checked.

    Attributes:
        tables: rows by table.
        counts: rows that were left out on purpose, by what they are.
        failures: items that failed, by id.
        folders: of pictures, by their option.
        files: picture files that were read.
    """

    tables: dict[str, pa.Table] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    files: pa.Table = field(default_factory=FILE_SCHEMA.empty_table)


def write_tables(store: Store, prepared: Prepared) -> dict[str, int]:
    """Write the rows whose query and product are known; return how many were kept, by table."""
    tables = prepared.tables
    keyed = sum(KEYS.get(name, 1) * rows.num_rows for name, rows in tables.items())
    store.make_room(keyed + prepared.files.num_rows)
    kept = {}
    if "products" in tables:
        write_products(store, tables["products"])
        kept["products"] = tables["products"].num_rows
    if "queries" in tables:
        write_queries(store, tables["queries"])
        kept["queries"] = tables["queries"].num_rows
    for name in ("clicks", "labels", "reviews"):
        if name in tables:
            known, failures = keep_known(store, tables[name], name)
            if name == "reviews":
                known = _withdrawals_of_known(store, known)
            prepared.failures.extend(failures)
            store.insert(name, known, replace=True)
            kept[name] = known.num_rows
    for name in ("attributes", "captions"):
        if name in tables:
            kept[name], failures = write_given(store, tables[name], name)
            prepared.failures.extend(failures)
    store.insert("files", prepared.files, replace=True)
    return kept


def write_products(store: Store, products: pa.Table) -> None:
    """Write rows of the products table and number them."""
    sql = (files("genfilt.ingest") / "write_products.sql").read_text("utf-8")
    with store.registered("arrived", products):
        store.connection.execute(sql)
    store.insert("products", products, replace=True)
    number_products(store)


def write_queries(store: Store, queries: pa.Table) -> None:
    """Write rows of the queries table and number them."""
    with store.registered("arrived", queries):
        store.connection.execute(
            "DELETE FROM failures WHERE step = 'ingest' "
            "AND item_key IN (SELECT 'query ' || query_id FROM arrived)"
        )
    with numbered_queries(store):
        store.insert("queries", queries, replace=True)


def keep_known(
    store: Store, rows: pa.Table, kind: str
) -> tuple[pa.Table, list[tuple[str, Failure]]]:
    """Return the rows whose query and product are known, with splits, and the unknown ids.

    A log names products that have left the catalogue: they are counted, one failure an id.
    """
    failures: list[tuple[str, Failure]] = []
    with store.registered("judged", rows):
        for column, table in (("query_id", "queries"), ("product_id", "products")):
            thing = column.removesuffix("_id")
            unknown = store.rows(
                f"SELECT {column}, count(*) FROM judged ANTI JOIN {table} USING ({column}) "
                f"GROUP BY ALL ORDER BY ALL"
            )
            failures += [
                (f"{thing} {name}", Failure(f"unknown {thing}", f"in {count} rows of {kind}"))
                for name, count in unknown
            ]
        if "split" in rows.column_names:
            columns = "judged.* REPLACE (coalesce(judged.split, products.split) AS split)"
        else:
            columns = "judged.*"
        known = store.arrow(
            f"SELECT {columns} FROM judged JOIN products USING (product_id) "
            f"SEMI JOIN queries USING (query_id)"
        )
    _warn_of_unknown(rows.num_rows, known.num_rows, kind, failures)
    return known, failures


def _warn_of_unknown(given: int, kept: int, kind: str, failures: list[tuple[str, Failure]]) -> None:
    if 2 * kept < given:
        complain(
            f"WARNING: {given - kept:,} of {given:,} pairs of {kind} name a query or product that "
            f"is not in the tables (the first: {failures[0][0]}). Ingest the products and queries "
            f"first, and check that the ids are written alike."
        )


def _withdrawals_of_known(store: Store, reviews: pa.Table) -> pa.Table:
    """Leave out empty verdicts, but for those of a review that is there."""
    with store.registered("judged", reviews):
        return store.arrow(
            "SELECT judged.* FROM judged LEFT JOIN reviews r "
            "USING (query_id, product_id, reviewer) "
            "WHERE judged.verdict IS NOT NULL OR r.verdict IS NOT NULL"
        )
