"""Exports of search engines that are not tables, recognised by their columns."""

from __future__ import annotations

import pyarrow as pa

from genfilt.ingest.formats.json_rows import NESTED

DOCUMENTS = "write the _source of each, an object a line, with its _id as product_id."
EXPORTS = (
    (
        {"action_name", "event_attributes"},
        "holds UBI events, which genfilt does not read; count the clicks of each pair into a table "
        "of query (or query_id), product_id and clicks, from user_query and "
        "event_attributes.object.object_id.",
    ),
    (
        {"took", "hits"},
        f"is the reply of a search engine, which genfilt does not read; of its hits {DOCUMENTS}",
    ),
    (
        {"_id", "_source"},
        f"holds documents of a search engine, which genfilt does not read; {DOCUMENTS}",
    ),
)
BULK_ACTIONS = ("index", "create", "update", "delete")  # of OpenSearch and Elasticsearch
BULK = (
    "is a bulk request to a search engine, which genfilt does not read; write the documents alone, "
    "an object a line, each with its _id as product_id."
)


def describe_export(schema: pa.Schema) -> str | None:
    """Return what a source without our columns is and what to do, None where it is unknown."""
    for names, sentence in EXPORTS:
        if names.issubset(schema.names):
            return sentence
    actions = [schema.field(name) for name in BULK_ACTIONS if name in schema.names]
    if any(NESTED in (action.metadata or {}) for action in actions):
        return BULK
    return None
