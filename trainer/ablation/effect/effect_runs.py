"""Execution of the experiment: each arm trained in stages 1 and 2, measured, and kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from genfilt.common.arrays import Bools, Integers
from genfilt.common.atomic import replaced, replaced_folder
from genfilt.common.console import say
from trainer.ablation.effect.arms import Arm, arm_pairs
from trainer.ablation.effect.effect_plan import (
    CLICK_STAGE,
    RESULT,
    Cell,
    EffectResult,
    EffectSettings,
    Shop,
)
from trainer.ablation.effect.negatives import ClickedPairs
from trainer.ablation.effect.truth import Truth, load_truth, measure_truth
from trainer.ablation.run_pool import run_missing
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.encode import encode_numbers
from trainer.evaluation.measures import measure
from trainer.training import checkpoint
from trainer.training.fit import fit

PAIRS = "pairs.npy"


@dataclass(frozen=True)
class EffectBench:
    """What all arms of a shop share: texts, truth, labels and the arms' pairs."""

    shop: Shop
    catalogue: Catalogue
    benchmark: Benchmark
    truth: Truth | None
    clicked: ClickedPairs
    relevant: Bools  # of clicked's (Q, P)
    pairs: Mapping[str, Integers]

    @classmethod
    def read(cls, shop: Shop, split: str) -> EffectBench:
        """Read a shop; without a truth the relevant pairs are those known or found.

        Raises:
            UserError: a file cannot be read, or the shop has no train click or nothing to measure.
        """
        pairs = arm_pairs(shop.db, shop.truth, shop.paper)
        with open_database(shop.db) as connection:
            catalogue = load_catalogue(connection)
            benchmark = load_benchmark(connection, shop.db.parent / "candidates", split)
            clicked = ClickedPairs.read(connection, catalogue)
            relevant = clicked.known | clicked.corrected(pairs["found"])
            truth = None
            if shop.truth is not None:
                truth = load_truth(connection, shop.truth, split)
                place = np.searchsorted(truth.queries, clicked.queries)
                at = np.searchsorted(truth.warm.products, clicked.products)
                relevant = truth.warm.relevant[np.ix_(place, at)]
        return cls(shop, catalogue, benchmark, truth, clicked, relevant, pairs)

    @cached_property
    def known_share(self) -> float:
        """The share of the relevant train pairs that verdicts hold."""
        return self.clicked.known_share(self.relevant)

    def false_negatives(self, arm: Arm, batch_size: int) -> float:
        """Return the false negatives a row that an arm leaves in random batches."""
        corrected = self.clicked.corrected(self.pairs[arm.key])
        return self.clicked.false_negatives(self.relevant, corrected, batch_size)

    def figures(self, run: Path) -> dict[str, float | None]:
        """Return the measures of a run's last stage."""
        model = checkpoint.load_model(checkpoint.latest_stage(run))
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        queries, products = self.benchmark.queries, self.benchmark.products
        if self.truth is not None:
            queries = np.union1d(queries, self.truth.queries).astype(np.int32)
            products = np.union1d(products, self.truth.products).astype(np.int32)
        encoded = encode_numbers(model, self.catalogue, queries, products)
        found: dict[str, float | None] = {}
        if self.truth is not None:
            for name, metrics in measure_truth(encoded, self.truth).items():
                found |= {f"{name} auc": metrics.auc, f"{name} recall": metrics.recall}
        for name, scorer in encoded.scorers().items():
            scores = measure(scorer, self.benchmark)
            found |= {f"labels {name} auc": scores.auc.value}
        return found


@dataclass(frozen=True)
class CellRuns:
    """The runs of a cell in its folder."""

    folder: Path
    cell: Cell
    arms: tuple[Arm, ...]

    @property
    def left(self) -> int:
        """How many are not finished."""
        return sum(not (self.folder / arm.key / RESULT).is_file() for arm in self.arms)


def run_effects(
    shops: Sequence[Shop],
    seeds: Sequence[int],
    out: Path,
    settings: EffectSettings,
    jobs: int = 1,
) -> int:
    """Train and measure every arm that is not finished, and return how many were run.

    Stage 1 is shared by the arms of a cell, which differ in the pairs of stage 2's mask alone. All
    cells of a seed come before those of the next: what is stopped has whole seeds.

    Args:
        shops: what is trained and measured on.
        seeds: of the training.
        out: where runs are kept, and found again.
        settings: what all of them share.
        jobs: processes that share the cores, or one GPU, each with a cell of its own; their
            remarks go to the log of the cell's folder.

    Raises:
        UserError: a shop cannot be read, or a process was killed.
        UsageError: OUT has runs of other settings.
    """
    cells = [
        Cell(shop, seed, size) for seed in seeds for size in settings.batch_sizes for shop in shops
    ]
    units = [
        CellRuns(cell.claim(out, settings), cell, tuple(cell.shop.arms(settings.arms)))
        for cell in cells
    ]
    total = sum(len(unit.arms) for unit in units)
    run = partial(_run_cell, settings=settings)
    return run_missing(run, units, jobs, lambda: sum(unit.left for unit in units), total)


def _run_cell(unit: CellRuns, settings: EffectSettings) -> Iterator[None]:
    """Run what is missing of a cell, and yield after each run."""
    bench: EffectBench | None = None
    cell, folder = unit.cell, unit.folder
    for arm in unit.arms:
        run = folder / arm.key
        if (run / RESULT).is_file():
            continue
        bench = bench or EffectBench.read(cell.shop, settings.split)
        name = cell.shop.db.stem
        say(f"{name}, seed {cell.seed}, batches of {cell.batch_size}: {arm.key}")
        began = time.monotonic()
        _train(bench, arm, cell, folder, settings)
        EffectResult(
            arm=arm.key,
            shop=name,
            seed=cell.seed,
            batch_size=cell.batch_size,
            pairs=len(bench.pairs[arm.key]),
            known_share=bench.known_share,
            false_negatives=bench.false_negatives(arm, cell.batch_size),
            figures=bench.figures(run),
            minutes=round((time.monotonic() - began) / 60, 2),
        ).write(run)
        checkpoint.drop_weights(checkpoint.stage_folder(run, 1))
        yield


def _train(
    bench: EffectBench, arm: Arm, cell: Cell, folder: Path, settings: EffectSettings
) -> None:
    run, shared = folder / arm.key, folder / "stage-1"
    fit(settings.config(1, cell), bench.shop.db, shared, resume=True)
    target = checkpoint.stage_folder(run, 1)
    if not checkpoint.is_done(target):
        with replaced_folder(target) as part:
            shutil.copytree(checkpoint.stage_folder(shared, 1), part, dirs_exist_ok=True)
    config = settings.config(CLICK_STAGE, cell)
    if arm.key != "none":
        with replaced(run / PAIRS) as part, part.open("wb") as file:
            np.save(file, bench.pairs[arm.key])
        config = replace(config, without=(), pairs=str(run / PAIRS), drop_corrections=arm.drop)
    fit(config, bench.shop.db, run, resume=True)
