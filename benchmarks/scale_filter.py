"""Time and peak memory of `genfilt filter` as products grow and queries stay, by titles alone.

    python benchmarks/scale_filter.py 10000 100000 1000000 --queries 100000 --rules paper calibrated

The catalogue is generated with its attributes, so that filter alone is measured: every run is the
genfilt command in a process of its own. Peak memory is the process's maximum resident size, mapped
pages included; "above" is what it exceeds the smallest catalogue's by. "grows as" is the exponent
of processor seconds between two sizes: 1 is linear.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from scale import GENFILT, Cost, count
from vectors import texts

from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.keys import text_key
from genfilt.store.store import Store, now

BATCH = 100_000
CLICKS = 30_000
PAIRS = "SELECT (SELECT count(DISTINCT q) FROM query_no) * (SELECT count(*) FROM features)"
WORDS = ("TYPES", "COLORS", "MATERIALS", "BRANDS")


def build(path: Path, products: int, queries: int) -> None:
    """Write a database of generated products, their attributes, queries and clicks."""
    titles, asked = texts(products, queries)
    rng = random.Random(0)
    by_type: dict[str, list[int]] = {}
    with Store(path) as store:
        for start in range(0, products, BATCH):
            part = titles[start : start + BATCH]
            ids = [f"p{start + at}" for at in range(len(part))]
            ingest(store, Sources(products=pa.table({"product_id": ids, "title": part})))
            read = [attributes(title) for title in part]
            for at, found in enumerate(read):
                by_type.setdefault(found["core_word"] or "", []).append(start + at)
            store.insert("attributes", described(part, read), replace=True)
        ids = [f"q{at}" for at in range(len(asked))]
        ingest(store, Sources(queries=pa.table({"query_id": ids, "query": asked})))
        read = [attributes(each) for each in asked]
        store.insert("attributes", described(asked, read), replace=True)
        rows = list(clicks(asked, by_type, rng))
        ingest(store, Sources(clicks=pa.Table.from_pylist(rows)))
        store.set_meta("llm", "generated")
        store.set_meta("llm_prompt_key", "k")


def attributes(text: str) -> dict[str, str | None]:
    """Return what a reader would find: the longest of the generator's own words."""
    found: dict[str, str | None] = {}
    for name, column in zip(WORDS, ("core_word", "color", "material", "brand"), strict=True):
        padded = f" {text} "
        inside = [word for word in _words(name) if f" {word} " in padded]
        found[column] = max(inside, key=len, default=None)
    return found


def _words(name: str, known: dict[str, list[str]] = {}) -> list[str]:  # noqa: B006
    import vectors

    if name not in known:
        known[name] = [w.strip() for w in getattr(vectors, name).replace("\n", " ").split(",")]
    return known[name]


def described(texts: list[str], read: list[dict[str, str | None]]) -> pa.Table:
    """Return rows of the table attributes; of equal texts one."""
    rows = {
        text_key(text): {**each, "title_key": text_key(text)}
        for text, each in zip(texts, read, strict=True)
    }
    table = pa.Table.from_pylist(list(rows.values()))
    same = {"prompt_key": "k", "generator": "generated", "raw": ""}
    for name, value in same.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    return table.append_column("created_at", pa.array([now()] * len(table), pa.timestamp("us")))


def clicks(
    asked: list[str], by_type: dict[str, list[int]], rng: random.Random
) -> Iterator[dict[str, object]]:
    """Yield clicks on products of the type that a query names."""
    for _ in range(CLICKS):
        q = rng.randrange(min(len(asked), 3000))
        kind = attributes(asked[q])["core_word"] or ""
        if kind in by_type:
            p = rng.choice(by_type[kind][:200])
            yield {"query_id": f"q{q}", "product_id": f"p{p}", "clicks": rng.randint(1, 3)}


def run(words: list[str]) -> Cost:
    """Run a genfilt command and measure it."""
    began = time.perf_counter()
    process = subprocess.Popen([*GENFILT, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"genfilt {' '.join(words)} failed")
    wall = time.perf_counter() - began
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / (1 << 20), 0)


def main() -> None:
    """Measure the sizes and rules given and print a line for each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--rules", nargs="+", default=["paper", "calibrated"])
    parser.add_argument("--sigma", default="0.95")
    parser.add_argument("--out", type=Path, default=Path("artifacts/scale"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| rule | products | wall s | CPU s | GiB | above | pairs | pairs/CPU s | grows as |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    first: dict[str, float] = {}
    before: dict[str, tuple[int, float]] = {}
    for size in sorted(options.sizes):
        db = options.out / f"filter{size}.duckdb"
        if not db.exists():
            build(db, size, options.queries)
        for rule in options.rules:
            common = ["--embedder", "static", "--rule", rule, "--max-per-query", "100"]
            cost = run(["filter", "--sigma", options.sigma, *common, "--db", str(db)])
            pairs = count(db, PAIRS)
            above = cost.memory - first.setdefault(rule, cost.memory)
            grows = ""
            if rule in before:
                ratio = math.log(size / before[rule][0])
                grows = f"{math.log(cost.cpu / before[rule][1]) / ratio:.2f}"
            before[rule] = size, cost.cpu
            print(
                f"| {rule} | {size:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.2f} "
                f"| {above:.2f} | {pairs:,} | {pairs / cost.cpu:,.0f} | {grows} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
