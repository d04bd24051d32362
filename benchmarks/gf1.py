"""What corrections bring on generated shops of which the log knows little (experiment GF-1).

`python benchmarks/gf1.py --out gf1` generates five shops with pictures, thins their train clicks to
one a query, keeps the labels of val and test alone, filters by the calibrated and by the paper's
rule, and runs `trainer ablate --design genfilt` on them. What is finished is kept: run it again
with more shops, arms, batch sizes or shares of the log (`--log all-clicks --log all-verdicts`).
`--products 200 --preset tiny` shows in a minute that everything works.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

LOGS = ("one-click", "all-clicks", "all-verdicts")
Row = dict[str, str]


def run(program: str, *words: object) -> None:
    """Run a command of the package, shown as it runs."""
    texts = [str(word) for word in words]
    print("$", program, *texts, flush=True)
    subprocess.run([str(Path(sys.executable).with_name(program)), *texts], check=True)


def read(path: Path) -> list[Row]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[Row]) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def thinned(clicks: list[Row], seed: int) -> list[Row]:
    """Return one train click of each query, drawn by the seed, and all clicks of other splits.

    Clicks are drawn, not rows: a product that was clicked often is drawn often, and counts once.
    """
    train: dict[str, list[Row]] = {}
    for row in clicks:
        if row["split"] == "train":
            train.setdefault(row["query_id"], []).append(row)
    draw = random.Random(seed)
    for rows in train.values():
        (row,) = draw.choices(rows, [int(row["clicks"]) for row in rows])
        rows[:] = [{**row, "clicks": "1"}]
    others = [row for row in clicks if row["split"] != "train"]
    return [row for rows in train.values() for row in rows] + others


def held_out(rows: list[Row]) -> list[Row]:
    """Return the rows of val and test."""
    return [row for row in rows if row["split"] != "train"]


def make_shop(folder: Path, products: int, seed: int) -> Path:
    """Return the folder of a generated shop."""
    shop = folder / f"shop-{seed}"
    if not (shop / "truth.duckdb").exists():
        shutil.rmtree(shop, ignore_errors=True)
        run("genfilt", "synth", "--products", products, "--seed", seed, "--out", shop)
    return shop


def make_catalogue(shop: Path) -> Path:
    """Return the database of a shop's products and queries, read by the generators."""
    db = shop / "catalogue.duckdb"
    if not db.exists():
        part = shop / "part.duckdb"
        part.unlink(missing_ok=True)
        words = ["--products", shop / "products.csv", "--queries", shop / "queries.csv"]
        run("genfilt", "ingest", *words, "--images", shop, "--db", part)
        run("genfilt", "extract", "--db", part)
        part.replace(db)
    return db


def make_database(shop: Path, log: str, seed: int, given: argparse.Namespace) -> Path:
    """Return the database of a shop with a share of its log, and beside it the paper's rule's."""
    db = shop.parent / f"{log}-{seed}.duckdb"
    paper = db.with_name(f"{db.stem}.paper.duckdb")
    if db.exists() and paper.exists():
        return db
    part = shop.parent / f"part-{log}-{seed}.duckdb"
    shutil.copy(make_catalogue(shop), part)
    clicks, labels = read(shop / "clicks.csv"), read(shop / "labels.csv")
    if log == "one-click":
        clicks = thinned(clicks, seed)
    if log != "all-verdicts":
        labels = held_out(labels)
    words = ["--clicks", write(shop / f"{log}-clicks.csv", clicks)]
    words += ["--labels", write(shop / f"{log}-labels.csv", labels)]
    run("genfilt", "ingest", *words, "--db", part)
    run("genfilt", "filter", "--rule", "calibrated", "--sigma", given.sigma, "--db", part)
    shutil.copy(part, paper)
    run("genfilt", "filter", "--rule", "paper", "--sigma", given.paper_sigma, "--db", paper)
    part.replace(db)
    return db


def options() -> argparse.Namespace:
    """Return the command line's options."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    words.add_argument("--out", type=Path, default=Path("artifacts/gf1"))
    words.add_argument("--products", type=int, default=3000)
    words.add_argument("--shops", type=int, nargs="+", default=[41, 42, 43, 44, 45])
    words.add_argument("--log", choices=LOGS, action="append", help="the share that is known")
    words.add_argument("--sigma", type=float, default=0.9, help="of the calibrated rule")
    words.add_argument("--paper-sigma", type=float, default=0.9)
    words.add_argument("--preset", default="small")
    words.add_argument("--epochs", type=int, nargs=2, help="of stages 1 and 2")
    words.add_argument("--batch-size", type=int, nargs="+", default=[512])
    words.add_argument("--arm", action="append", help="by default all")
    words.add_argument("--seeds", type=int, default=1, help="of the training")
    words.add_argument("--jobs", type=int, default=1, help="cells at once")
    words.add_argument("--split", default="val", help="whose products are the cold ones")
    words.add_argument("--cross-query", action="store_true", help="with QMX")
    words.add_argument("--mixed-precision", default="no", choices=["no", "bf16"])
    return words.parse_args()


def main() -> None:
    """Build what is missing, train and report."""
    given = options()
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    words: list[object] = []
    for log in given.log or LOGS[:1]:
        for seed in given.shops:
            shop = make_shop(given.out, given.products, seed)
            words += ["--db", make_database(shop, log, seed, given)]
            words += ["--truth", shop / "truth.duckdb"]
    print(f"Shops and databases: {time.monotonic() - began:.0f} s", flush=True)
    for option in ("epochs", "batch_size", "arm"):
        for value in getattr(given, option) or ():
            words += [f"--{option.replace('_', '-')}", value]
    words += ["--cross-query"] * given.cross_query
    words += ["--mixed-precision", given.mixed_precision]
    words += ["--preset", given.preset, "--seeds", given.seeds, "--split", given.split]
    words += ["--jobs", given.jobs]
    words += ["--out", given.out / "runs", "--report", given.out / "report.md"]
    run("trainer", "ablate", "--design", "genfilt", *words)
    print(f"All: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
