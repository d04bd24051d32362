"""Results of finished runs that are reported together, read from their folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Floats, Integers
from genfilt.common.console import say
from genfilt.common.errors import UserError
from trainer.ablation.compare import Difference, JudgedRun, Mean, difference
from trainer.ablation.models import MODELS
from trainer.ablation.plan import Unit, units_in
from trainer.ablation.run_result import MEASURED, RunResult
from trainer.ablation.runs import ATTACKED
from trainer.ablation.scores import Scores
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.measures import finite
from trainer.evaluation.query_words import held_out_queries
from trainer.training.checkpoint import current


@dataclass(frozen=True)
class RunGroup:
    """Units that are reported together, each with the same finished models."""

    name: str
    units: list[Unit]
    split: str

    @cached_property
    def keys(self) -> list[str]:
        """The finished models, in the order of MODELS."""
        found = {path.parent.name for path in self.units[0].folder.glob(f"*/{MEASURED}")}
        return [model.key for model in MODELS if model.key in found]

    def name_of(self, key: str) -> str:
        """Return a model's name in tables."""
        return self.units[0].result(key).model

    @cached_property
    def benchmarks(self) -> dict[Path, Benchmark]:
        """Each database's benchmark."""
        return {db: read_benchmark(db, self.split) for db in {unit.db for unit in self.units}}

    @cached_property
    def held_out(self) -> dict[Path, Integers]:
        """Each database's queries with a word that training has not seen."""
        found = {}
        for db in {unit.db for unit in self.units}:
            with open_database(db) as connection:
                found[db] = held_out_queries(connection)
        return found

    def results(self, key: str) -> list[RunResult]:
        """Return what each unit's run of a model measured."""
        return [unit.result(key) for unit in self.units]

    def mean(self, key: str, measure: str, figure: str) -> Mean | None:
        """Return the mean over runs of "auc" or "recall@k"; None where the model lacks it."""
        return Mean.of([one.figure(measure, figure) for one in self.results(key)])

    def judged(self, key: str, measure: str) -> list[JudgedRun]:
        """Return each unit's scores of a model."""
        return [
            JudgedRun(
                Scores.load(unit.run(key)),
                measure,
                self.benchmarks[unit.db],
                unit.folder.parent.name,
            )
            for unit in self.units
        ]

    def auc_by_words(self, key: str, measure: str, *, held_out: bool) -> Mean | None:
        """Return the mean AUC over the queries in seen words, or in held-out ones."""
        found = []
        for unit, run in zip(self.units, self.judged(key, measure), strict=True):
            unknown = np.isin(run.benchmark.query, self.held_out[unit.db])
            weights = (unknown if held_out else ~unknown).astype(np.float64)
            found.append(finite(run.auc()(weights)))
        return Mean.of(found)

    def gap(
        self, first: tuple[str, str], second: tuple[str, str], k: int | None = None
    ) -> Difference | None:
        """Compare (model, measure) with (model, measure), on AUC or Recall@k."""
        return difference(self.judged(*first), self.judged(*second), k)

    def widest(self, key: str) -> str:
        """Return the measure by which a model reads the most of a product."""
        return Scores.load(self.units[0].run(key)).widest

    def image_weights(self, key: str, *, by_type: bool = False) -> dict[str, Mean]:
        """Return the picture's mean weight in M by category, or by type of product (Table 6)."""
        found = [
            (one.image_weight_by_type if by_type else one.image_weight) or {}
            for one in self.results(key)
        ]
        names = sorted({name for one in found for name in one})
        means = {name: Mean.of([one.get(name) for one in found]) for name in names}
        return {name: mean for name, mean in means.items() if mean is not None}

    def attacked(self, key: str, measure: str) -> Mean | None:
        """Return the AUC on attacked catalogues: over runs, of each run's mean over them."""
        means = []
        for unit in self.units:
            paths = sorted((unit.run(key) / ATTACKED).glob(f"*/{MEASURED}"))
            aucs = [RunResult.read(path.parent).figure(measure, "auc") for path in paths]
            found = [auc for auc in aucs if auc is not None]
            means.append(float(np.mean(found)) if found else None)
        return Mean.of(means)

    def curves(self, key: str, stage: int) -> dict[str, Floats]:
        """Return a stage's losses (B,) by name, averaged over the units that have as many."""
        logs = [
            self._log(current(unit.run(key) / f"stage{stage}") / "log.jsonl") for unit in self.units
        ]
        shortest = min(map(len, logs), default=0)
        if not shortest:
            return {}
        names = [name for name in logs[0][0] if name != "batch"]
        return {
            name: np.mean([[row[name] for row in log[:shortest]] for log in logs], axis=0)
            for name in names
        }

    @staticmethod
    def _log(path: Path) -> list[dict[str, float]]:
        if not path.exists():
            return []
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [row for row in rows if len(row) > 1]


def read_benchmark(db: Path, split: str) -> Benchmark:
    """Return a database's labels and stored candidate lists."""
    with open_database(db) as connection:
        return load_benchmark(connection, db.parent / "candidates", split)


def run_groups(out: Path) -> list[RunGroup]:
    """Return the units of OUT with a finished run, in the groups that are reported together.

    Raises:
        UserError: OUT holds no finished run.
    """
    found: dict[str, list[Unit]] = {}
    for unit in units_in(out):
        if any(unit.folder.glob(f"*/{MEASURED}")):
            found.setdefault(unit.group, []).append(unit)
    if not found:
        raise UserError(f"{out} holds no finished run; run trainer ablate --out {out}.")
    return [
        RunGroup(name, units, _split(units[0]))
        for name, units in ((name, _complete(units)) for name, units in found.items())
    ]


def _complete(units: list[Unit]) -> list[Unit]:
    """Return the units that have every model of the furthest one: means are over the same runs."""
    models = [{path.parent.name for path in unit.folder.glob(f"*/{MEASURED}")} for unit in units]
    furthest = max(models, key=len)
    kept = [unit for unit, has in zip(units, models, strict=True) if has >= furthest]
    for unit in units:
        if unit not in kept:
            say(f"{unit.folder} is not finished and is left out of the report.")
    return kept


def _split(unit: Unit) -> str:
    path = unit.folder.parent / "settings.json"
    return str(json.loads(path.read_text("utf-8"))["split"])
