"""Resident memory of `trainer fit` by the size of the database, in one process and in two.

`python benchmarks/trainer_memory.py --rows 10000 --rows 200000` makes databases of so many products
with four clicks each, trains one batch of stage 2 in the tiny preset, and prints for each process
the largest resident size, and what of it stood at the end of the batch: memory of its own, and
pages of mapped files, which all processes of a host share and the system may drop.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "genfilt" / "store"
# Ids and titles are as long as a shop's; 64 picture files stand for all.
FILL = """
INSERT INTO meta VALUES ('schema_version', '2');
INSERT INTO filters
SELECT 1, 'paper', 0.9, 0.9, 0.5, NULL, NULL, 'e', 'l', 'c', 't', now()::TIMESTAMP, true, 0, 0;
INSERT INTO products
SELECT 'product-' || n, 'Northvale slim fit jacket of organic cotton, navy blue, size ' || n,
       '{folder}/' || n % 64 || '.jpg', 'jackets', 'train', 't' || n, 'i' || n
FROM range({rows}) t(n);
INSERT INTO queries SELECT 'query-' || n, 'navy blue jacket ' || n, 'q' || n
FROM range({rows} // 4) t(n);
INSERT INTO clicks SELECT 'query-' || (n % ({rows} // 4)), 'product-' || (n * 7919 % {rows}), 1,
       'train' FROM range(4 * {rows}) t(n)
GROUP BY ALL;
INSERT INTO features
SELECT n, n, n, 'jacket ' || n, 'a jacket ' || n, '' FROM range({rows}) t(n);
INSERT INTO product_no SELECT 'product-' || n, n, n FROM range({rows}) t(n);
INSERT INTO query_no SELECT 'query-' || n, n FROM range({rows} // 4) t(n);
INSERT INTO qp_candidates
SELECT 1, n % ({rows} // 4), n * 104729 % {rows}, 0.95, 0.95, 0.95, 0.95, false, ''
FROM range(2 * {rows}) t(n);
"""
ONE_STEP = """
import itertools, json, sys
from pathlib import Path
from dataclasses import replace
import torch
from trainer.config import preset
from trainer.training import loop
from trainer.training.fit import RunOptions, fit

whole = loop.loader
loop.loader = lambda *given: itertools.islice(whole(*given), 1)
db, out, seen = map(Path, sys.argv[1:])
torch.set_num_threads(1)
sized, kept = loop.TrainingLoop.step, {}

def sizes():
    status = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    names = {"peak": "VmHWM", "own": "RssAnon", "files": "RssFile"}
    return {name: int(status[key].split()[0]) for name, key in names.items()}

def step(self, objective, batch, **given):
    losses = sized(self, objective, batch, **given)
    kept.update(sizes())
    return losses

loop.TrainingLoop.step = step
fit(replace(preset("tiny", 2), epochs=1), db, out, options=RunOptions("cpu"))
rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
(seen / f"{rank}.json").write_text(json.dumps(kept | {"peak": sizes()["peak"]}))
"""


def make_database(folder: Path, rows: int) -> Path:
    """Write a database of `rows` products with pictures, clicks and corrections."""
    db = folder / f"{rows}.duckdb"
    for number in range(64):
        Image.new("RGB", (64, 64), (4 * number, 90, 120)).save(folder / f"{number}.jpg")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{db}' AS db (STORAGE_VERSION 'v1.4.0')")
        connection.execute("USE db")
        for name in ("schema.sql", "views.sql"):
            connection.execute((STORE / name).read_text("utf-8"))
        connection.execute(FILL.format(folder=folder, rows=rows))
    return db


def measure(db: Path, folder: Path, tree: Path, count: int) -> list[dict[str, float]]:
    """Train one batch in `count` processes with the code of `tree`; return sizes by rank, MiB."""
    script, seen = folder / "one_step.py", folder / "seen"
    script.write_text(ONE_STEP)
    seen.mkdir(exist_ok=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        subprocess.run(
            [sys.executable, *(torchrun if count > 1 else []), script, db, out, seen],
            check=True,
            env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
    read = [json.loads((seen / f"{rank}.json").read_text()) for rank in range(count)]
    return [{name: size / 1024 for name, size in parts.items()} for parts in read]


def main() -> None:
    """Print a table of sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="products; can be given again")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout that is measured")
    given = parser.parse_args()
    print("| products | processes | rank | peak MiB | own MiB | mapped files MiB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for rows in given.rows or [10_000, 200_000]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            db = make_database(folder, rows)
            for count in (1, 2):
                for rank, parts in enumerate(measure(db, folder, given.tree, count)):
                    figures = " | ".join(f"{parts[name]:.0f}" for name in ("peak", "own", "files"))
                    print(
                        f"| {rows:,} | {count} | {rank} | {figures} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
