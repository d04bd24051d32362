"""Variants of the model and of its training, trained in all three stages and measured by Q->M.

`python benchmarks/fusion.py --shop shop-11 --shop shop-12 --jobs 2 --out fusion` trains every
variant on every shop with every seed and prints one table: AUC and Recall@10 on the split's
labels and lists, over all queries and over those in seen and in held-out words, and on the whole
truth where a shop's folder has a truth.duckdb. A shop is a folder with shop.duckdb and images/, as
it lies anywhere: paths of pictures are mended in a copy. What is finished is kept, run by run.
`--variant plain --preset tiny --epochs 1 1 1` shows in a minute that everything works.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import torch
from fusion_measures import FusionBench
from fusion_report import table_of

from trainer.config import FitConfig, preset
from trainer.training import checkpoint
from trainer.training.fit import fit
from trainer.training.run_log import LOG

RESULT = "fusion.json"


@dataclass(frozen=True)
class Variant:
    """Values of the configuration that differ from the preset's."""

    model: dict[str, object]
    run: dict[str, object]


def _variant(**values: object) -> Variant:
    names = {"bert_layers", "embed_dim"}
    model = {name: value for name, value in values.items() if name in names}
    return Variant(model, {name: value for name, value in values.items() if name not in names})


VARIANTS = {  # in the order in which they run: where time is short, the first count most
    "plain": _variant(),
    "with qmf": _variant(matching=True),
    "rate 5e-5": _variant(learning_rate=5e-5),
    "grouped": _variant(grouped=True),
    "six layers": _variant(bert_layers=6),
    "words random 0.2": _variant(word_dropout=0.2, dropped_words="random"),
    "words unknown 0.2": _variant(word_dropout=0.2),
    "pull 200": _variant(pull_to_start=200.0),
    "pull 30": _variant(pull_to_start=30.0),
    "half the epochs": _variant(epochs=0.5),
    "six layers, rate 5e-5": _variant(bert_layers=6, learning_rate=5e-5),
}


@dataclass(frozen=True)
class Job:
    """One variant on one shop with one seed."""

    name: str
    shop: Path
    seed: int
    given: argparse.Namespace

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        out: Path = self.given.out
        return out / self.shop.name / self.name.replace(" ", "-") / f"seed-{self.seed}"

    def config(self, stage: int) -> FitConfig:
        """Return how a stage is trained."""
        base, variant = preset(self.given.preset, stage), VARIANTS[self.name]
        epochs = self.given.epochs[stage - 1] if self.given.epochs else base.epochs
        values = {**variant.run, "seed": self.seed, "workers": self.given.workers}
        values["mixed_precision"] = self.given.mixed_precision
        values["epochs"] = max(1, round(epochs * float(str(variant.run.get("epochs", 1)))))
        return base.replaced(values, variant.model)


def relocated(shop: Path, out: Path) -> Path:
    """Return a copy of a shop's database whose pictures are those of the shop's folder."""
    db = out / shop.name / "shop.duckdb"
    if not db.exists():
        db.parent.mkdir(parents=True, exist_ok=True)
        part = db.with_name("part.duckdb")
        shutil.copy(shop / "shop.duckdb", part)
        with duckdb.connect(str(part)) as connection:
            connection.execute(
                "UPDATE products SET image = ? || regexp_extract(image, '[^/]+$') "
                "WHERE image IS NOT NULL",
                [f"{(shop / 'images').resolve()}/"],
            )
        part.replace(db)
    return db


def run(job: Job) -> str:
    """Train what a job lacks, measure stages 2 and 3, and return the job's name."""
    path = job.folder / RESULT
    if path.exists():
        return f"{job.folder} was finished"
    if time.time() > job.given.until:
        return f"{job.folder} was not begun: --minutes are over"
    threads = (os.cpu_count() or 1) // job.given.jobs
    torch.set_num_threads(max(1, min(threads, torch.get_num_threads())))
    began = time.monotonic()
    db = job.given.out / job.shop.name / "shop.duckdb"
    bench = FusionBench.read(db, job.shop / "truth.duckdb", job.given.split)
    figures: dict[str, dict[str, float | None]] = {}
    losses = {}
    for stage in (1, 2, 3):
        fit(job.config(stage), db, job.folder, resume=True)
        losses[stage] = late_losses(checkpoint.stage_folder(job.folder, stage))
        if stage > 1:
            model = checkpoint.load_model(checkpoint.stage_folder(job.folder, stage))
            figures[f"stage {stage}"] = bench.figures(model)
    for stage in (1, 2, 3):
        checkpoint.drop_weights(checkpoint.stage_folder(job.folder, stage))
    result = {"variant": job.name, "shop": job.shop.name, "seed": job.seed, "figures": figures}
    result |= {"losses": losses, "config": asdict(job.config(3))}
    result |= {"minutes": round((time.monotonic() - began) / 60, 2)}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)
    return f"{job.folder}: {result['minutes']} minutes"


def late_losses(stage: Path) -> dict[str, float]:
    """Return each loss's mean over the last quarter of a stage's batches."""
    lines = (checkpoint.current(stage) / LOG).read_text().splitlines()
    logged = [json.loads(line) for line in lines[-max(1, len(lines) // 4) :]]
    return {name: sum(one[name] for one in logged) / len(logged) for name in logged[-1]}


def run_all(jobs: Sequence[Job], processes: int) -> None:
    """Run jobs, several at once; a job that fails is named, the others go on."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(run, job): job for job in jobs}
        for done in as_completed(waiting):
            try:
                print(done.result(), flush=True)
            except Exception as fault:  # any of them: a variant that fails is a result too
                print(f"{waiting[done].folder} failed: {fault!r}", flush=True)


def options() -> argparse.Namespace:
    """Return the command line's options."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    words.add_argument("--shop", type=Path, action="append", default=[], help="its folder")
    words.add_argument("--variant", choices=list(VARIANTS), action="append", help="default: all")
    words.add_argument("--seeds", type=int, default=1, help="of the training, from 0 on")
    words.add_argument("--jobs", type=int, default=1, help="processes at once")
    words.add_argument("--workers", type=int, default=1, help="that read pictures, for each")
    words.add_argument("--minutes", type=float, default=1e6, help="after which no run begins")
    words.add_argument("--preset", default="small")
    words.add_argument("--epochs", type=int, nargs=3, help="of stages 1 to 3")
    words.add_argument("--mixed-precision", default="no", choices=["no", "bf16"])
    words.add_argument("--split", default="val")
    words.add_argument("--out", type=Path, default=Path("artifacts/fusion"))
    return words.parse_args()


def main() -> None:
    """Train what is missing and print the table of all that OUT holds."""
    given = options()
    given.until = time.time() + 60 * given.minutes
    given.out = given.out.resolve()
    given.shop = [shop.resolve() for shop in given.shop]
    for shop in given.shop:
        db = relocated(shop, given.out)
        FusionBench.read(db, shop / "truth.duckdb", given.split)  # stores the candidate lists
    names = given.variant or list(VARIANTS)
    seeds = range(given.seeds)
    jobs = [Job(name, shop, n, given) for n in seeds for name in names for shop in given.shop]
    run_all(jobs, given.jobs)
    results = [json.loads(path.read_text()) for path in sorted(given.out.glob(f"*/*/*/{RESULT}"))]
    text = table_of(results)
    (given.out / "fusion.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
