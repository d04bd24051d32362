"""Execution of an ablation's runs; a finished run, which has its measured.json, is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import torch

from genfilt.common.atomic import replaced_folder
from genfilt.common.console import say
from genfilt.common.errors import UserError
from trainer.ablation.database_content import content_of, product_types, stages_of
from trainer.ablation.models import BASELINES, FULL, VARIANTS, ComparedModel, model_of
from trainer.ablation.plan import AblationSettings, Unit, claim
from trainer.ablation.query_vectors import QueryVectors
from trainer.ablation.run_pool import run_missing
from trainer.ablation.run_result import MEASURED, RunResult
from trainer.ablation.scores import Scores
from trainer.baselines.baseline import Baseline, Material, train_rows
from trainer.database.catalogue import Catalogue, Rows, load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.encode import EncodedBenchmark, encode, image_weights
from trainer.evaluation.measures import BenchmarkSize, measure
from trainer.evaluation.scorers import Scorer
from trainer.model.parameters import weights_of
from trainer.training import checkpoint
from trainer.training.fit import fit
from trainer.training.objective import parts_of

ATTACKED = "attacked"


def run_all(
    databases: Sequence[Path],
    seeds: Sequence[int],
    out: Path,
    settings: AblationSettings,
    attacks: Sequence[Path] = (),
    jobs: int = 1,
) -> int:
    """Run every model on every database with every seed, but for those that are finished.

    Args:
        databases: genfilt databases.
        seeds: of the training.
        out: where runs are kept, and found again.
        settings: what all of them share.
        attacks: databases that the whole model and the untrained baselines are measured on too.
        jobs: processes that share the cores, each with a database and a seed of its own; their
            remarks go to the log of that folder.

    Returns:
        How many runs were done.

    Raises:
        UserError: a database cannot be read, has nothing to train or measure on, or OUT holds
            other runs.
    """
    units = []
    for db in databases:
        folder = claim(out, db, settings, content_of(db))
        # Stores the candidate lists before several processes read them.
        Bench.read(db, settings.split)
        units += [Unit(folder / f"seed-{seed}", db, seed) for seed in seeds]
    run = partial(run_unit, settings=settings, attacks=attacks)
    total = len(units) * len(settings.keys)
    return run_missing(run, units, jobs, lambda: _missing(units, settings), total)


def _missing(units: Sequence[Unit], settings: AblationSettings) -> int:
    return sum(not unit.is_done(key) for unit in units for key in settings.keys)


def run_unit(unit: Unit, settings: AblationSettings, attacks: Sequence[Path]) -> Iterator[None]:
    """Run what is missing of a unit, and yield after each run."""
    bench: Bench | None = None
    for key in settings.keys:
        if not unit.is_done(key):
            bench = bench or Bench.read(unit.db, settings.split)
            _run(unit, key, bench, settings)
            yield
    _measure_under_attack(unit, settings, attacks)
    _drop_early_weights(unit)


@dataclass(frozen=True)
class Bench:
    """A database's texts, labels, candidate lists and train rows."""

    db: Path
    catalogue: Catalogue
    benchmark: Benchmark
    val: Benchmark | None
    """By which trained baselines are stopped; None where val has neither click nor label."""
    train: Rows
    types: dict[int, str]
    """The split's products by their core words, of words that several have."""

    @classmethod
    def read(cls, db: Path, split: str) -> Bench:
        """Read a database; its candidate lists lie where `trainer evaluate` keeps them."""
        with open_database(db) as connection:
            catalogue = load_catalogue(connection)
            lists = db.parent / "candidates"
            benchmark = load_benchmark(connection, lists, split)
            val = benchmark if split == "val" else _val(connection, lists)
            types = product_types(connection, benchmark.categories)
            return cls(db, catalogue, benchmark, val, train_rows(connection, catalogue), types)

    def material(self, seed: int) -> Material:
        """Return the data of a baseline."""
        return Material(self.catalogue, self.benchmark, self.train, seed, self.val)


def _val(connection: duckdb.DuckDBPyConnection, lists: Path) -> Benchmark | None:
    try:
        return load_benchmark(connection, lists, "val")
    except UserError:  # a database may have a test split alone
        return None


def _run(unit: Unit, key: str, bench: Bench, settings: AblationSettings) -> None:
    say(f"{unit.folder.parent.name}, seed {unit.seed}: {key}")
    began = time.monotonic()
    baselines = settings.compared()
    if key in baselines:
        result = _measured_baseline(baselines[key], unit, bench, unit.run(key))
    else:
        _train(unit, model_of(key), settings)
        result = _measured_variant(model_of(key), unit, bench)
    minutes = round((time.monotonic() - began) / 60, 2)
    replace(result, minutes=minutes).write(unit.run(key))


def _train(unit: Unit, variant: ComparedModel, settings: AblationSettings) -> None:
    run = unit.run(variant.key)
    for stage in stages_of(unit.db):
        if stage == 1 and variant.key != FULL and shares_first_stage(variant, unit.db):
            _take_first_stage(unit, run)
            continue
        config = settings.config(stage, unit.seed, variant.without)
        fit(config, unit.db, run, resume=True)


def shares_first_stage(variant: ComparedModel, db: Path) -> bool:
    """Return whether a variant's stage 1 equals the whole model's in every step.

    It is where stage 1 has the same losses (QMA has none in it, QMF has ITM) and the same mask:
    GenFilt changes stage 1's through the image-title corrections alone, if there are any.
    """
    same_losses = parts_of(1, variant.without) == parts_of(1)
    found = content_of(db).image_title_corrections
    return same_losses and ("genfilt" not in variant.without or not found)


def _take_first_stage(unit: Unit, run: Path) -> None:
    source, target = (checkpoint.stage_folder(place, 1) for place in (unit.run(FULL), run))
    if checkpoint.is_done(target):
        return
    with replaced_folder(target) as part:
        shutil.copytree(source, part, dirs_exist_ok=True)
    say(f"Stage 1 is that of {unit.run(FULL)}: this model leaves nothing out in it.")


def _encoded(run: Path, bench: Bench) -> tuple[EncodedBenchmark, int]:
    """Return the vectors of a run's last stage, and how many weights the model has."""
    model = checkpoint.load_model(checkpoint.latest_stage(run))
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return encode(model, bench.catalogue, bench.benchmark), weights_of(model)


def _measured_variant(variant: ComparedModel, unit: Unit, bench: Bench) -> RunResult:
    run = unit.run(variant.key)
    encoded, parameters = _encoded(run, bench)
    QueryVectors.of(encoded.of_query, bench.benchmark).save(run)
    return replace(
        _measured(variant.name, encoded.scorers(), bench.benchmark, run),
        parameters=parameters,
        image_weight=image_weights(encoded, bench.benchmark.categories),
        image_weight_by_type=image_weights(encoded, bench.types),
        candidates=BenchmarkSize.of(bench.benchmark, encoded.white),
        config=checkpoint.load_config(checkpoint.latest_stage(run)),
    )


def _measured_baseline(baseline: Baseline, unit: Unit, bench: Bench, folder: Path) -> RunResult:
    found = baseline.scores(bench.material(unit.seed))
    if found.vectors is not None:
        QueryVectors.of(found.vectors, bench.benchmark).save(folder)
    result = _measured(baseline.name, found.scorers, bench.benchmark, folder)
    return replace(result, parameters=found.parameters)


def _measured(
    name: str, scorers: dict[str, Scorer], benchmark: Benchmark, folder: Path
) -> RunResult:
    scores = Scores.of(scorers, benchmark)
    scores.save(folder)
    measures = {key: measure(scorer, benchmark) for key, scorer in scores.scorers().items()}
    return RunResult(name, benchmark.split, measures)


def _measure_under_attack(unit: Unit, settings: AblationSettings, attacks: Sequence[Path]) -> None:
    compared = settings.compared()
    untrained = [one.key for one in BASELINES if not one.trained and one.key in compared]
    for db in attacks:
        bench: Bench | None = None
        for key in (FULL, *untrained):
            folder = unit.run(key) / ATTACKED / db.stem
            if (folder / MEASURED).is_file():
                continue
            bench = bench or Bench.read(db, settings.split)
            if key == FULL:
                scorers = _encoded(unit.run(key), bench)[0].scorers()
                result = _measured(model_of(FULL).name, scorers, bench.benchmark, folder)
            else:
                result = _measured_baseline(compared[key], unit, bench, folder)
            result.write(folder)


def _drop_early_weights(unit: Unit) -> None:
    """Remove the weights of the stages before a run's last, which nothing reads any more."""
    for variant in VARIANTS:
        run = unit.run(variant.key)
        last = checkpoint.latest_stage(run)
        for folder in run.glob("stage[123]"):
            if folder != last:
                checkpoint.drop_weights(folder)
