"""Time and peak memory of one `genfilt ingest` of a catalogue with a large click log.

    python benchmarks/scale_ingest.py --products 5000000 --queries 1300000 --clicks 20000000

Titles and queries are numbered texts and clicks fall on random pairs, since ingest reads no
meaning. The command is a process of its own and writes all in one transaction; memory is its
maximum resident size.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq
from scale import count, run

COUNTS = "SELECT count(*) FROM {table}"


def write_shop(folder: Path, products: int, queries: int, clicks: int) -> None:
    """Write products, queries and clicks as Parquet files."""
    tables = {
        "products": {"product_id": named("p", products), "title": named("red shirt ", products)},
        "queries": {"query_id": named("q", queries), "query": named("shirt ", queries)},
        "clicks": {
            "query_id": drawn("q", queries, clicks, seed=0),
            "product_id": drawn("p", products, clicks, seed=1),
        },
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def named(prefix: str, size: int) -> pa.Array:
    """Return a prefix with each number below a size."""
    return texts(prefix, np.arange(size))


def drawn(prefix: str, size: int, count: int, seed: int) -> pa.Array:
    """Return a prefix with random numbers below a size."""
    return texts(prefix, np.random.default_rng(seed).integers(0, size, count))


def texts(prefix: str, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    """Return a prefix with each of the numbers."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def main() -> None:
    """Write the files, ingest them and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=5_000_000)
    parser.add_argument("--queries", type=int, default=1_300_000)
    parser.add_argument("--clicks", type=int, default=20_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, db = Path(name), Path(name) / "shop.duckdb"
        write_shop(folder, options.products, options.queries, options.clicks)
        kinds = ("products", "queries", "clicks")
        given = [word for kind in kinds for word in (f"--{kind}", str(folder / f"{kind}.parquet"))]
        cost = run(["ingest", *given, "--db", str(db)])
        rows = [count(db, COUNTS.format(table=kind)) for kind in kinds]
        size = db.stat().st_size
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{n:,} {kind}" for kind, n in zip(kinds, rows, strict=True)))
    print(
        f"{cost.wall:.1f} s, {cost.cpu:.1f} CPU s, {cost.memory:.2f} GiB, file {size / 1e9:.1f} GB"
    )


if __name__ == "__main__":
    main()
