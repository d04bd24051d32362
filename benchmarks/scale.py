"""Time, memory and rows a second of each step as the catalogue grows.

Every step is the genfilt command in a process of its own, on generated catalogues:

    python benchmarks/scale.py 1000 10000 100000 --out /tmp/scale

"grows as" is the exponent between two sizes: 1 is linear in the products. Processor seconds count
the process and its workers, memory is the largest one's. The joins' work is queries times products.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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
}


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
    found = ["filter", "--sigma", str(options.sigma)]
    return {
        "synth": ["synth", "--products", str(size), "--out", str(shop)],
        "ingest": ["ingest", *files, "--images", str(shop), *db],
        "ingest again": ["ingest", *files, "--images", str(shop), *db],
        "extract": ["extract", *db],
        "extract again": ["extract", *db],
        "filter": [*found, *db],
        "filter again": [*found, *db],
        "audit": ["audit", *db],
        "report": ["report", "--out", str(folder / f"{size}.html"), *db],
        "export": ["export", "positives", "--out", str(folder / f"{size}.parquet"), *db],
    }


def measure(size: int, folder: Path, options: argparse.Namespace) -> dict[str, Cost]:
    """Run all steps on a new catalogue."""
    db = folder / f"{size}.duckdb"
    for old in folder.glob(f"{size}.duckdb*"):
        old.unlink()
    costs: dict[str, Cost] = {}
    for name, words in steps(size, folder, options).items():
        if name.split()[0] in options.skip:
            continue
        costs[name] = run(words)
        print(f"{size:,} {name}: {costs[name].wall:.1f} s", file=sys.stderr, flush=True)
    for name, cost in costs.items():
        rows = count(db, ROWS[name.split()[0]])
        costs[name] = Cost(cost.wall, cost.cpu, cost.memory, rows)
    return costs


def table(found: dict[int, dict[str, Cost]]) -> str:
    """Return the costs as a Markdown table."""
    lines = [
        "| step | products | wall s | CPU s | GiB | rows | rows/CPU s | grows as |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    sizes = list(found)
    for name in found[sizes[0]]:
        before: tuple[int, float] | None = None
        for size in sizes:
            cost = found[size].get(name)
            if cost is None:
                continue
            growth = ""
            if before is not None:
                growth = f"{math.log(cost.cpu / before[1]) / math.log(size / before[0]):.2f}"
            lines.append(
                f"| {name} | {size:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.2f} "
                f"| {cost.rows:,} | {cost.rows / cost.cpu:,.0f} | {growth} |"
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
