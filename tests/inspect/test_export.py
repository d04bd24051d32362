"""Exports hold each pair once, in one order, and need no memory for all of them at once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.export import export_positives
from genfilt.store.store import Store
from tests.filter.calibrated.clicked_shop import shop

PRODUCTS, QUERIES = 1_000, 600
LONG_TITLE = "waterproof hooded jacket with two pockets and a lining of recycled wool, number "


def test_a_file_read_in_parts_is_the_same(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop() as store:
        filter_pairs(store, FilterSettings(0.6, rule="paper"), embedder)
        count = export_positives(store, tmp_path / "whole.parquet")
        monkeypatch.setattr("genfilt.inspect.export.PAIRS_AT_A_TIME", 7)
        assert export_positives(store, tmp_path / "parts.parquet") == count > 100
        whole, parts = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
        assert whole.equals(parts)
        assert set(whole["source"].to_pylist()) == {"click", "label", "genfilt"}


def test_corrections_beyond_the_memory_of_the_database_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "shop.duckdb") as store:
        titles = [f"{LONG_TITLE * 3}{n}" for n in range(PRODUCTS)]
        ids = [f"p{n}" for n in range(PRODUCTS)]
        asked = pa.table({"query_id": [f"q{n}" for n in range(QUERIES)],
                          "query": [f"{LONG_TITLE}{n}" for n in range(QUERIES)]})  # fmt: skip
        products = pa.table({"product_id": ids, "title": titles, "split": ["train"] * PRODUCTS})
        ingest(store, Sources(products=products, queries=asked))
        store.connection.execute("UPDATE product_no SET f = p")
        store.connection.execute(
            "INSERT INTO filters VALUES "
            "(1, 'paper', 0.9, 0.9, 0.9, NULL, NULL, 'e', 'l', 'c', 't', now(), true, 0, 0)"
        )
        store.connection.execute(
            "INSERT INTO qp_candidates SELECT 1, q, f, NULL, 0.95, 0.95, 0.95, false, NULL "
            "FROM (SELECT DISTINCT q FROM query_no), (SELECT DISTINCT f FROM product_no)"
        )
        monkeypatch.setattr("genfilt.inspect.export.PAIRS_AT_A_TIME", 1 << 14)
        store.connection.execute("SET threads = 2")
        store.connection.execute("SET memory_limit = '96MB'")
        count = export_positives(store, tmp_path / "positives.parquet")
        assert count == PRODUCTS * QUERIES
        with pq.ParquetFile(tmp_path / "positives.parquet") as file:
            assert file.metadata.num_rows == count
            assert file.read_row_group(0)["source"][0].as_py() == "genfilt"
