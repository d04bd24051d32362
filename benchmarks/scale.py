"""Time, memory and rows a second of each step as the catalogue grows.

Every step is the genfilt command in a process of its own, on generated catalogues:

    python benchmarks/scale.py 1000 10000 100000 --out /tmp/scale
    python benchmarks/scale.py 10000 100000 1000000 --titles --sigma 0.95

With --titles the catalogues have no pictures and as many queries at every size, the lexicon reads
and the static embedder embeds; what synth does is then done here, and measured nowhere.

The costs of a size and of these options are kept in a JSON file of the folder, so that a run that
was stopped goes on; remove it to measure again.

"grows as" is the exponent between two sizes: 1 is linear in the products. Processor seconds count
the process and its workers, memory is the largest one's, mapped pages included; "above" is what it
exceeds the smallest catalogue's by. The joins' work is queries times products.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

GENFILT = (sys.executable, "-c", "from genfilt.cli.app import main; main()")
FAILED_ITEMS = 3
FILES = ("products", "queries", "clicks", "labels")

ROWS = {
    "synth": "SELECT count(*) FROM products",
    "ingest": "SELECT (SELECT count(*) FROM products) + (SELECT count(*) FROM queries) "
    "+ (SELECT count(*) FROM clicks) + (SELECT count(*) FROM labels)",
    "extract": "SELECT (SELECT count(*) FROM attributes) + (SELECT count(*) FROM captions)",
    "filter": "SELECT (SELECT count(DISTINCT q) FROM query_no) * (SELECT count(*) FROM features)",
    "audit": "SELECT count(*) FROM labels WHERE split = 'train'",
    "report": "SELECT count(*) FROM query_product_corrections",
    "export": "SELECT count(*) FROM positives WHERE split = 'train'",
    "explain": "SELECT 1",
    "status": "SELECT 1",
}
TITLES = ("--embedder", "static", "--rule", "paper", "--max-per-query", "20")


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    wall: float  # seconds
    cpu: float  # seconds of all its processes
    memory: float  # GiB, of the largest process
    rows: int


def run(words: list[str]) -> Cost:
    """Run a genfilt command and measure it."""
    began = time.perf_counter()
    process = subprocess.Popen([*GENFILT, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, FAILED_ITEMS):
        raise SystemExit(f"genfilt {' '.join(words)} ended with {process.returncode}")
    wall = time.perf_counter() - began
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / (1 << 20), 0)


def count(db: Path, sql: str) -> int:
    """Return the one number of an answer."""
    line = [*GENFILT, "sql", sql, "--format", "json", "--db", str(db)]
    answer = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return int(next(iter(json.loads(answer)[0].values())))


def steps(size: int, folder: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command line of each step."""
    shop, db = folder / f"shop{size}", ["--db", str(folder / f"{size}.duckdb")]
    files = [word for name in FILES for word in (f"--{name}", str(shop / f"{name}.csv"))]
    found = ["filter", "--sigma", str(options.sigma), *(TITLES if options.titles else ())]
    given = ["ingest", *files, *([] if options.titles else ["--images", str(shop)]), *db]
    read = ["extract", *(["--llm", "lexicon"] if options.titles else []), *db]
    return {
        "synth": ["synth", "--products", str(size), "--out", str(shop)],
        "ingest": given,
        "ingest again": given,
        "extract": read,
        "extract again": read,
        "filter": [*found, *db],
        "filter again": [*found, *db],
        "audit": ["audit", *db],
        "report": ["report", "--out", str(folder / f"{size}.html"), *db],
        "export": ["export", "positives", "--out", str(folder / f"{size}.parquet"), *db],
        "explain": ["explain", "q0", "p0", *db],
        "status": ["status", *db],
    }


def measure(size: int, folder: Path, options: argparse.Namespace) -> dict[str, Cost]:
    """Return the costs of all steps on a new catalogue, or those that an earlier run kept."""
    kind = "titles" if options.titles else "pictures"
    kept = folder / "-".join([str(size), kind, str(options.sigma), *options.skip, "costs.json"])
    if kept.exists():
        return {name: Cost(**cost) for name, cost in json.loads(kept.read_text()).items()}
    db = folder / f"{size}.duckdb"
    for old in folder.glob(f"{size}.duckdb*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    costs: dict[str, Cost] = {}
    if options.titles:
        write_shop(folder / f"shop{size}", size)
    for name, words in steps(size, folder, options).items():
        if name.split()[0] in options.skip or (options.titles and name == "synth"):
            continue
        costs[name] = run(words)
        cost = costs[name]
        line = f"{size:,} {name}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s, {cost.memory:.2f} GiB"
        print(line, file=sys.stderr, flush=True)
    for name, cost in costs.items():
        rows = count(db, ROWS[name.split()[0]])
        costs[name] = Cost(cost.wall, cost.cpu, cost.memory, rows)
    kept.write_text(json.dumps({name: asdict(cost) for name, cost in costs.items()}))
    return costs


def write_shop(folder: Path, size: int, queries: int = 100_000) -> None:
    """Write generated titles, queries, and clicks and labels of 3,000 of them."""
    from scale_filter import attributes, clicks
    from vectors import texts

    folder.mkdir(exist_ok=True)
    titles, asked = texts(size, queries)
    rng = random.Random(0)
    by_type: dict[str, list[int]] = {}
    for at, title in enumerate(titles[:20_000]):
        by_type.setdefault(attributes(title)["core_word"] or "", []).append(at)
    clicked = list(clicks(asked, by_type, rng))
    labels = [{**row, "label": rng.randrange(2)} for row in clicked[::2]]
    tables = {
        "products": {"product_id": [f"p{at}" for at in range(size)], "title": titles},
        "queries": {"query_id": [f"q{at}" for at in range(queries)], "query": asked},
    }
    for name, columns in tables.items():
        csv.write_csv(pa.table(columns), folder / f"{name}.csv")
    csv.write_csv(pa.Table.from_pylist(clicked), folder / "clicks.csv")
    csv.write_csv(pa.Table.from_pylist(labels).drop(["clicks"]), folder / "labels.csv")


def table(found: dict[int, dict[str, Cost]]) -> str:
    """Return the costs as a Markdown table."""
    lines = [
        "| step | products | wall s | CPU s | GiB | above | rows | rows/CPU s | grows as |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    sizes = list(found)
    for name in found[sizes[-1]]:
        before: tuple[int, float] | None = None
        least = next(cost[name].memory for cost in found.values() if name in cost)
        for size in sizes:
            cost = found[size].get(name)
            if cost is None:
                continue
            growth = ""
            if before is not None:
                growth = f"{math.log(cost.cpu / before[1]) / math.log(size / before[0]):.2f}"
            lines.append(
                f"| {name} | {size:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.2f} "
                f"| {cost.memory - least:.2f} | {cost.rows:,} | {cost.rows / cost.cpu:,.0f} "
                f"| {growth} |"
            )
            before = (size, cost.cpu)
    return "\n".join(lines)


def main() -> None:
    """Measure the sizes given and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--out", type=Path, default=Path("artifacts/scale"))
    parser.add_argument("--sigma", type=float, default=0.85)
    parser.add_argument("--skip", nargs="*", default=[], help="steps to leave out")
    parser.add_argument("--titles", action="store_true", help="no pictures, the fastest readers")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[int, dict[str, Cost]] = {}
    for size in sorted(options.sizes):
        found[size] = measure(size, options.out, options)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ")
    print(f"load {os.getloadavg()[0]:.1f} at the end, sigma {options.sigma}\n")
    print(table(found))


if __name__ == "__main__":
    main()
