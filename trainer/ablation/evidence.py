"""What finished runs of one population say, read from their folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genfilt.common.console import say
from genfilt.common.errors import UserError
from trainer.ablation.compare import Difference, JudgedRun, Mean, difference
from trainer.ablation.plan import FULL, METRICS, Unit, units_in
from trainer.ablation.runs import ATTACKED
from trainer.ablation.scores import Scores
from trainer.database.known_pairs import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark


@dataclass(frozen=True)
class RunGroup:
    """Units that are reported together, each with the same finished models."""

    name: str
    units: list[Unit]
    split: str

    @cached_property
    def keys(self) -> list[str]:
        """The models, Query-LIFE first, its ablations, then baselines."""
        order = [FULL, "without-genfilt", "without-qma", "without-qmf"]
        found = {path.parent.name for path in self.units[0].folder.glob(f"*/{METRICS}")}
        rest = ["bm25", "sentence-embeddings", "bert", "clip", "blip2", "blip2-tuned"]
        return [key for key in order + rest if key in found]

    def name_of(self, key: str) -> str:
        """Return what tables call a model."""
        return str(self.units[0].metrics(key)["model"])

    @cached_property
    def benchmarks(self) -> dict[Path, Benchmark]:
        """Each database's benchmark."""
        return {db: read_benchmark(db, self.split) for db in {unit.db for unit in self.units}}

    def metrics(self, key: str) -> list[dict[str, Any]]:
        """Return what each unit's run of a model measured."""
        return [unit.metrics(key) for unit in self.units]

    def mean(self, key: str, measure: str, figure: str) -> Mean | None:
        """Return the mean over runs of "auc" or "recall@k"; None where the model lacks it."""
        return Mean.of([one.get(measure, {}).get(figure) for one in self.metrics(key)])

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

    def gap(
        self, first: tuple[str, str], second: tuple[str, str], k: int | None = None
    ) -> Difference | None:
        """Compare (model, measure) with (model, measure), on AUC or Recall@k."""
        return difference(self.judged(*first), self.judged(*second), k)

    def widest(self, key: str) -> str:
        """Return the measure by which a model reads the most of a product."""
        return Scores.load(self.units[0].run(key)).widest

    def image_weights(self, key: str) -> dict[str, Mean]:
        """Return the picture's weight in M by category."""
        found = [one["image_weight"] for one in self.metrics(key)]
        names = sorted({name for one in found for name in one})
        means = {name: Mean.of([one.get(name) for one in found]) for name in names}
        return {name: mean for name, mean in means.items() if mean is not None}

    def attacked(self, key: str, measure: str) -> Mean | None:
        """Return the AUC on attacked catalogues: over runs, of each run's mean over them."""
        means = []
        for unit in self.units:
            paths = sorted((unit.run(key) / ATTACKED).glob(f"*/{METRICS}"))
            said = [json.loads(path.read_text("utf-8")).get(measure, {}) for path in paths]
            found = [one["auc"] for one in said if one.get("auc") is not None]
            means.append(float(np.mean(found)) if found else None)
        return Mean.of(means)

    def curves(self, key: str, stage: int) -> dict[str, np.ndarray]:
        """Return a stage's losses (B,) by name, averaged over the units that have as many."""
        logs = [self._log(unit.run(key) / f"stage{stage}" / "log.jsonl") for unit in self.units]
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


def populations(out: Path) -> list[RunGroup]:
    """Return what OUT holds by population, of units in which a run is finished.

    Raises:
        UserError: OUT holds no finished run.
    """
    found: dict[str, list[Unit]] = {}
    for unit in units_in(out):
        if any(unit.folder.glob(f"*/{METRICS}")):
            found.setdefault(unit.population, []).append(unit)
    if not found:
        raise UserError(f"{out} holds no finished run; run trainer ablate --out {out}.")
    return [
        RunGroup(name, units, _split(units[0]))
        for name, units in ((name, _complete(units)) for name, units in found.items())
    ]


def _complete(units: list[Unit]) -> list[Unit]:
    """Return the units that have every model of the furthest one: means are over the same runs."""
    models = [{path.parent.name for path in unit.folder.glob(f"*/{METRICS}")} for unit in units]
    furthest = max(models, key=len)
    kept = [unit for unit, has in zip(units, models, strict=True) if has >= furthest]
    for unit in units:
        if unit not in kept:
            say(f"{unit.folder} is not finished and is left out of the report.")
    return kept


def _split(unit: Unit) -> str:
    path = unit.folder.parent / "settings.json"
    return str(json.loads(path.read_text("utf-8"))["split"])
