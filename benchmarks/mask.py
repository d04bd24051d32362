"""Time to load 10 million positives and to look up the masks of a batch.

`python benchmarks/mask.py --positives 10000000 --batch 512 --a-query 100` builds a database by the
contract's schema, loads it as the trainer does, and prints medians as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from trainer.batches.mask import Masks
from trainer.database.catalogue import load_catalogue
from trainer.database.known_pairs import load_known_pairs
from trainer.database.reading import open_database

SCHEMA = Path(__file__).resolve().parent.parent / "genfilt" / "store" / "schema.sql"


def build(path: Path, queries: int, products: int, a_query: int) -> None:
    """Write a database in which every query has a_query corrections, a tenth as many clicks."""
    with duckdb.connect() as db:
        db.execute(f"ATTACH '{path}' AS db (STORAGE_VERSION 'v1.4.0')")
        db.execute("USE db")
        db.execute(SCHEMA.read_text("utf-8"))
        db.execute("INSERT INTO meta VALUES ('schema_version', '2')")
        db.execute(
            "INSERT INTO filters BY NAME SELECT 1 AS filter_id, 'paper' AS rule, 0.9 AS sigma, 0.9"
            " AS image_title_sigma, 0.9"
            " AS floor, '' AS embedder, '' AS llm, '' AS captioner, '' AS template, TIMESTAMP"
            " '2026-01-01' AS created_at, true AS current, 0 AS joined_q, 0 AS joined_f"
        )
        db.execute(
            "INSERT INTO products BY NAME SELECT 'p' || n AS product_id, 'title ' || n // 2 AS"
            " title, 'i' || n // 3 AS image, 'train' AS split, 't' || n // 2 AS title_key,"
            " 'i' || n // 3 AS image_key FROM range(?) r(n)",
            [products],
        )
        db.execute(
            "INSERT INTO product_no SELECT 'p' || n, n, n // 2 FROM range(?) r(n)", [products]
        )
        db.execute(
            "INSERT INTO queries SELECT 'q' || n, 'query ' || n, 'q' || n FROM range(?) r(n)",
            [queries],
        )
        db.execute("INSERT INTO query_no SELECT 'q' || n, n FROM range(?) r(n)", [queries])
        db.execute(
            "INSERT INTO qp_candidates BY NAME SELECT 1 AS filter_id, n // ? AS q,"
            " (hash(n) % ?)::INTEGER AS f, 0.95 AS score, false AS vetoed FROM range(?) r(n)",
            [a_query, products // 2, queries * a_query],
        )
        db.execute(
            "INSERT INTO clicks SELECT DISTINCT 'q' || n // ?, 'p' || hash(n, 1) % ?, 1, 'train'"
            " FROM range(?) r(n)",
            [max(1, a_query // 10), products, queries * max(1, a_query // 10)],
        )


def clock(run: Callable[[], object]) -> float:
    """Return the seconds that a call took."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure(path: Path, batch: int, repeats: int) -> dict[str, float | int]:
    """Load the database and look up masks of random batches."""
    with open_database(path) as connection:
        began = time.perf_counter()
        corrections = load_known_pairs(connection)
        loading = time.perf_counter() - began
        contents = load_catalogue(connection).contents
    masks = Masks(corrections, contents)
    queries, products = len(corrections.query_product.starts) - 1, len(contents.title)
    rng = np.random.default_rng(0)
    batches = [
        (
            rng.integers(queries, size=batch, dtype=np.int32),
            rng.integers(products, size=batch, dtype=np.int32),
        )
        for _ in range(repeats)
    ]
    lookups = [clock(lambda b=b: masks.queries(*b)) for b in batches]  # type: ignore[misc]
    return {
        "positives": corrections.used[0] + len(corrections.verdicts.values),
        "batch": batch,
        "load_s": round(loading, 2),
        "lookup_ms_median": round(1e3 * statistics.median(lookups), 3),
        "lookup_ms_best": round(1e3 * min(lookups), 3),
        "image_title_ms_median": round(
            1e3 * statistics.median(clock(lambda b=b: masks.image_title(b[1])) for b in batches),  # type: ignore[misc]
            3,
        ),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Read options, build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positives", type=int, default=10_000_000)
    parser.add_argument("--a-query", type=int, default=100)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.duckdb"
        queries = options.positives // options.a_query
        build(path, queries, options.products, options.a_query)
        print(json.dumps(measure(path, options.batch, options.repeats)))


if __name__ == "__main__":
    main()
