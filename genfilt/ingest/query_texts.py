"""Queries that clicks and labels give by their text: ids by content, and rows of their own."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.ingest.columns import ROW, SourceRows
from genfilt.ingest.products import mapped
from genfilt.store.keys import query_key, text_key
from genfilt.store.store import Store


def with_query_ids(store: Store, rows: SourceRows, queries: pa.Table | None) -> SourceRows:
    """Return rows of clicks or labels with the column query_id.

    A text that a query of this call or of the tables has (but for case and spacing) gets its id,
    another one its key.

    Args:
        store: the tables.
        rows: query_id or query.
        queries: query_id and query_key of this call's own queries.

    Raises:
        UserError: a row has no text.
    """
    if rows.has("query_id"):
        return rows
    texts = pc.unique(rows.required("query"))
    keys = mapped(pa.chunked_array([texts]), query_key)
    wanted = pa.table({"query_key": keys})
    given = queries if queries is not None else pa.table({"query_id": [], "query_key": []})
    with store.registered("wanted", wanted), store.registered("given", given):
        known = dict(
            store.rows(
                "SELECT CAST(query_key AS VARCHAR), min(CAST(query_id AS VARCHAR)) FROM "
                "(SELECT query_key, query_id FROM given UNION ALL "
                "SELECT query_key, query_id FROM queries) SEMI JOIN wanted USING (query_key) "
                "GROUP BY ALL"
            )
        )
    ids = [
        known.get(key) or text_key(text)
        for key, text in zip(keys.to_pylist(), texts.to_pylist(), strict=True)
    ]
    places = pc.index_in(rows.column("query"), value_set=texts)
    return rows.replaced("query_id", pa.chunked_array([pa.array(ids, pa.string())]).take(places))


def new_queries(store: Store, rows: SourceRows, queries: pa.Table | None) -> SourceRows | None:
    """Return the queries of rows that are in neither table, None where there are none.

    Args:
        store: the tables.
        rows: query_id and perhaps query.
        queries: query_id of this call's own queries.
    """
    if not rows.has("query"):
        return None
    known = pa.array([], pa.string()) if queries is None else queries["query_id"]
    ids, texts = rows.column("query_id"), rows.column("query")
    fresh = pc.and_(pc.is_valid(ids), pc.is_valid(texts))
    fresh = pc.and_(fresh, pc.invert(pc.is_in(ids, value_set=known)))
    named = rows.table.select(["query_id", "query", ROW]).filter(fresh)
    with store.registered("named", named):
        found = store.arrow(
            f'SELECT query_id, query, "{ROW}" FROM named ANTI JOIN queries USING (query_id) '
            f'ORDER BY "{ROW}"'
        )
    return SourceRows(rows.name, found) if found.num_rows else None
