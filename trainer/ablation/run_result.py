"""What a finished run measured, as its measured.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from genfilt.common.atomic import write_text
from trainer.config import FitConfig
from trainer.evaluation.measures import BenchmarkSize, ScoreMetrics

MEASURED = "measured.json"  # not metrics.json, which `trainer evaluate` writes into a run
SCORES = ("Q->T", "Q->I", "Q->T+Q->I", "Q->M")

Read = TypeVar("Read")


@dataclass(frozen=True)
class RunResult:
    """A model's measures on a split; the last four fields are Query-LIFE's alone."""

    model: str
    split: str
    scores: dict[str, ScoreMetrics]
    minutes: float = 0.0
    parameters: int | None = None
    image_weight: dict[str, float | None] | None = None  # by category
    image_weight_by_type: dict[str, float | None] | None = None  # by core word
    candidates: BenchmarkSize | None = None
    config: FitConfig | None = None

    def figure(self, score: str, name: str) -> float | None:
        """Return "auc", "gauc" or "recall@k" of a score; None where the model lacks it."""
        found = self.scores.get(score)
        return None if found is None else found.figure(name)

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of measured.json."""
        plain: dict[str, object] = {"model": self.model, "split": self.split}
        plain |= {name: score.to_dict() for name, score in self.scores.items()}
        for name in ("parameters", "image_weight", "image_weight_by_type"):
            if (value := getattr(self, name)) is not None:
                plain[name] = value
        if self.candidates is not None:
            plain["candidates"] = self.candidates.to_dict()
        if self.config is not None:
            plain["config"] = self.config.to_dict()
        return plain | {"minutes": self.minutes}

    def write(self, folder: Path) -> None:
        """Write measured.json; a folder that has one holds a finished run."""
        write_text(folder / MEASURED, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> RunResult:
        """Return what `write` wrote."""
        values: dict[str, dict[str, object]] = json.loads((folder / MEASURED).read_text("utf-8"))
        plain: Mapping[str, object] = values
        minutes, parameters = plain["minutes"], plain.get("parameters")
        return cls(
            model=str(plain["model"]),
            split=str(plain["split"]),
            scores={
                name: ScoreMetrics.from_dict(values[name]) for name in SCORES if name in values
            },
            minutes=float(minutes) if isinstance(minutes, int | float) else 0.0,
            parameters=parameters if isinstance(parameters, int) else None,
            image_weight=_weights(values.get("image_weight")),
            image_weight_by_type=_weights(values.get("image_weight_by_type")),
            candidates=_optional(BenchmarkSize.from_dict, values.get("candidates")),
            config=_optional(FitConfig.from_dict, values.get("config")),
        )


def _optional(
    read: Callable[[dict[str, object]], Read], values: dict[str, object] | None
) -> Read | None:
    return None if values is None else read(values)


def _weights(values: dict[str, object] | None) -> dict[str, float | None] | None:
    if values is None:
        return None
    return {
        name: float(weight) if isinstance(weight, int | float) else None
        for name, weight in values.items()
    }
