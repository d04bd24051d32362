"""The demo's results on several generated shops, as a table.

`python benchmarks/demo_table.py --out demos` runs `examples/demo.sh` on seeds 51 to 55, 53 being
the demo's own, and prints the table of all of them. A seed that is finished is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SEEDS = (51, 52, 53, 54, 55)
Results = dict[str, Any]


def environment(folder: Path, seed: int) -> dict[str, str]:
    """Return the environment of a seed's demo, its commands those of this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DEMO": str(folder), "SEED": str(seed)}


def measured(out: Path, seed: int) -> Results:
    """Return a seed's results, run now where results.json is missing."""
    folder = out / str(seed)
    kept = folder / "results.json"
    if not kept.is_file():
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "demo.log").open("w") as log:
            subprocess.run(
                ["sh", "examples/demo.sh"],
                cwd=ROOT,
                env=environment(folder, seed),
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        seconds = time.monotonic() - began
        words = ["--db", folder / "genfilt.duckdb", "--truth", folder / "shop" / "truth.duckdb"]
        words += ["--run", folder / "with", "--plain", folder / "without", "--format", "json"]
        done = subprocess.run(
            [sys.executable, "examples/demo_results.py", *map(str, words)],
            cwd=ROOT,
            env=environment(folder, seed),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        results = json.loads(done.stdout) | {"seconds": round(seconds)}
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(results), "utf-8")
        part.replace(kept)
    found: Results = json.loads(kept.read_text("utf-8"))
    return found


def gap(values: list[float]) -> str:
    """Return a difference with its interval, bold where the interval is above 0."""
    text = f"{values[0]:+.3f} ({values[1]:+.3f} to {values[2]:+.3f})"
    return f"**{text}**" if values[1] > 0 else text


def table(rows: dict[int, Results]) -> str:
    """Return the Markdown tables: corrections and forecast, then AUC and Recall@10."""
    lines = [
        "| seed | known pairs | corrections | right | FN a row of 512 | after | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for seed, row in rows.items():
        share = f"{row['correct'] / row['found']:.0%}" if row["found"] else "-"
        *_, batch = row["forecast"]["batches"] if row["forecast"] else [{}]
        before, after = (
            f"{batch[key]:.2f}" if key in batch else "-"
            for key in ("false_negatives_before", "false_negatives_after")
        )
        cells = (seed, row["known"], row["found"], share, before, after, row["seconds"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for measure, name in (("auc", "AUC"), ("recall", "Recall@10")):
        others = [score["name"] for score in next(iter(rows.values()))["scores"][1:]]
        lines += [
            "",
            f"{name} of Q->M on test products, and how far it is above the others:",
            "",
            f"| seed | Q->M | {' | '.join(others)} |",
            "|---|---:|" + "---|" * len(others),
        ]
        for seed, row in rows.items():
            own, *rest = row["scores"]
            gaps = [gap(score[f"{measure}_gap"]) for score in rest]
            lines.append(f"| {seed} | {own[measure]:.3f} | {' | '.join(gaps)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the seeds that are not finished, and print the table."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--out", type=Path, default=Path("artifacts/demos"))
    words.add_argument("--seed", type=int, action="append", help="by default 51 to 55")
    given = words.parse_args()
    out = given.out.resolve()
    print(table({seed: measured(out, seed) for seed in given.seed or SEEDS}))


if __name__ == "__main__":
    main()
