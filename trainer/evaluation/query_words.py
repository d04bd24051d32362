"""Queries in words that training has seen, and queries with a word that it has not."""

from __future__ import annotations

import duckdb
import numpy as np

from genfilt.common.arrays import Integers
from trainer.database.reading import columns

# A word counts as seen where it stands in a query with a train click or label, or in the title of
# a train product: all the texts that the three stages read.
HELD_OUT = r"""
WITH train_texts AS (
    SELECT query AS text FROM queries WHERE query_id IN (
        SELECT query_id FROM clicks WHERE split = 'train'
        UNION ALL SELECT query_id FROM labels WHERE split = 'train')
    UNION ALL SELECT title FROM products WHERE split = 'train'
), seen AS (
    SELECT DISTINCT unnest(regexp_extract_all(lower(text), '[\p{L}\p{N}]+')) AS word
    FROM train_texts
)
SELECT DISTINCT q FROM (
    SELECT q, unnest(regexp_extract_all(lower(query), '[\p{L}\p{N}]+')) AS word
    FROM queries JOIN query_no USING (query_id)
) ANTI JOIN seen USING (word) ORDER BY q
"""


def held_out_queries(connection: duckdb.DuckDBPyConnection) -> Integers:
    """Return the queries q (N,) with at least one word that no training text has."""
    return np.ascontiguousarray(columns(connection, HELD_OUT)["q"], dtype=np.int32)
