"""Settings, shops, cells and results of the experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError
from trainer.ablation.effect.arms import ARMS, Arm, arms_of
from trainer.config import FitConfig, preset

RESULT, PAPER = "effect.json", ".paper.duckdb"
CLICK_STAGE = 2
MICRO_BATCH = 64  # rows in a CPU's memory at once; gradients are those of the whole batch


@dataclass(frozen=True)
class EffectSettings:
    """What all runs of an experiment share.

    Raises:
        UsageError: an unknown arm, or not one number of epochs for each of stages 1 and 2.
    """

    preset: str = "small"
    epochs: tuple[int, ...] = ()  # of stages 1 and 2; the preset's where empty
    batch_sizes: tuple[int, ...] = (512,)
    arms: tuple[str, ...] = ()  # all that can be run where empty
    cross_query: bool = False
    split: str = "val"  # whose products are the cold ones
    mixed_precision: Literal["no", "bf16"] = "no"

    def __post_init__(self) -> None:
        if self.epochs and len(self.epochs) != CLICK_STAGE:
            raise UsageError(
                f"--epochs must be given twice with --design genfilt, for stages 1 and 2, "
                f"got {len(self.epochs)}."
            )
        known = [arm.key for arm in ARMS]
        for key in self.arms:
            if key not in known:
                raise UsageError(f"--arm must be one of {', '.join(known)}, got '{key}'.")

    def config(self, stage: int, cell: Cell) -> FitConfig:
        """Return how a stage is trained; without corrections, as stage 1 always is."""
        config = replace(
            preset(self.preset, stage),
            seed=cell.seed,
            batch_size=cell.batch_size,
            micro_batch=_micro_batch(cell.batch_size),
            cross_query=self.cross_query,
            mixed_precision=self.mixed_precision,
            without=("genfilt",),
        )
        return replace(config, epochs=self.epochs[stage - 1]) if self.epochs else config


@dataclass(frozen=True)
class Shop:
    """A database of the experiment with its truth, and the paper's rule on it, where there are."""

    db: Path
    truth: Path | None = None

    @property
    def paper(self) -> Path | None:
        """The same shop filtered by the paper's rule: a file beside it, named NAME.paper.duckdb."""
        path = self.db.with_name(f"{self.db.stem}{PAPER}")
        return path if path.is_file() else None

    def arms(self, chosen: Sequence[str]) -> list[Arm]:
        """Return the arms that can be run on it."""
        return arms_of(self.truth, self.paper, chosen)


@dataclass(frozen=True)
class Cell:
    """A shop, a seed of the training and a batch size, on which every arm is run."""

    shop: Shop
    seed: int
    batch_size: int

    def folder(self, out: Path) -> Path:
        """Return where the cell's runs are kept."""
        return out / self.shop.db.stem / f"seed-{self.seed}" / f"batch-{self.batch_size}"

    def claim(self, out: Path, settings: EffectSettings) -> Path:
        """Return the cell's folder, kept to one database and one kind of settings.

        Raises:
            UsageError: it has runs of others.
        """
        folder = self.folder(out)
        path = folder / "settings.json"
        wanted: dict[str, object] = {
            "database": str(self.shop.db.resolve()),
            "preset": settings.preset,
            "epochs": list(settings.epochs),
            "split": settings.split,
            "cross_query": settings.cross_query,
            "mixed_precision": settings.mixed_precision,
        }
        if path.exists() and (before := json.loads(path.read_text("utf-8"))) != wanted:
            other = [name for name in wanted if before.get(name) != wanted[name]]
            raise UsageError(
                f"{folder} has runs with another {', '.join(other)}; give another --out, or the "
                "options of those runs."
            )
        write_text(path, json.dumps(wanted, indent=1) + "\n")
        return folder


def _micro_batch(batch_size: int) -> int | None:
    """A GPU waits for launches when it gets small parts, and has the memory for whole batches."""
    return None if torch.cuda.is_available() else min(MICRO_BATCH, batch_size)


@dataclass(frozen=True)
class EffectResult:
    """What one arm reached on one shop."""

    arm: str
    shop: str
    seed: int
    batch_size: int
    pairs: int  # (query, feature text) pairs that the arm takes for corrections
    known_share: float  # of the relevant train pairs, by verdicts
    false_negatives: float  # relevant columns a row that the arm still counts as negatives
    minutes: float
    figures: dict[str, float | None] = field(default_factory=dict)
    """By "cold Q->M auc", "warm Q->T recall", "labels Q->M auc" and so on."""

    def write(self, folder: Path) -> None:
        """Keep the result in the arm's folder; it marks the run as finished."""
        write_text(folder / RESULT, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> EffectResult:
        """Return the result of an effect.json."""
        return cls(**json.loads(path.read_text("utf-8")))
