"""What `trainer ablate` runs: which models on which databases, with which seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genfilt.common.errors import UsageError
from trainer.baselines.baseline import Baseline
from trainer.baselines.blip2 import Blip2
from trainer.baselines.clip import Clip
from trainer.baselines.cross_encoder import CrossEncoder
from trainer.baselines.text_baselines import Bm25, SentenceEmbeddings
from trainer.config import Ablation, FitConfig, preset

FULL = "full"
METRICS = "measured.json"  # not metrics.json, which `trainer evaluate` writes into a run


@dataclass(frozen=True)
class Variant:
    """Query-LIFE, whole or with a part left out."""

    key: str
    name: str
    without: tuple[Ablation, ...] = ()


VARIANTS = (
    Variant(FULL, "Query-LIFE"),
    Variant("without-genfilt", "without GenFilt", ("genfilt",)),
    Variant("without-qma", "without QMA", ("qma",)),
    Variant("without-qmf", "without QMF", ("qmf",)),
)


@dataclass(frozen=True)
class AblationSettings:
    """What decides a run beside its database and seed.

    Raises:
        UsageError: an unknown preset, or not one number of epochs for each of three stages.
    """

    preset: str = "small"
    epochs: tuple[int, ...] = ()  # of each stage; the preset's where empty
    split: str = "val"
    baselines: bool = True
    clip: str | None = None
    blip2: str | None = None
    cross_query: bool = False  # QMX is not the paper's, whose claims are looked at

    def __post_init__(self) -> None:
        preset(self.preset, 1)
        if self.epochs and len(self.epochs) != 3:
            raise UsageError(
                f"--epochs is given {len(self.epochs)} times; give it three times, once for each "
                "stage, or leave it out for the preset's."
            )

    def config(self, stage: int, seed: int, without: tuple[Ablation, ...]) -> FitConfig:
        """Return how a stage of a run is trained."""
        config = replace(
            preset(self.preset, stage),
            seed=seed,
            without=without,
            cross_query=self.cross_query,
        )
        return replace(config, epochs=self.epochs[stage - 1]) if self.epochs else config

    def compared(self) -> dict[str, Baseline]:
        """Return the baselines by the names of their folders."""
        if not self.baselines:
            return {}
        model = preset(self.preset, 1).model
        return {
            "bm25": Bm25(),
            "sentence-embeddings": SentenceEmbeddings(),
            "bert": CrossEncoder(model),
            "clip": Clip(self.clip),
            "blip2": Blip2(self.blip2),
            "blip2-tuned": Blip2(self.blip2, tuned=True),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


@dataclass(frozen=True)
class Unit:
    """A database and a seed: what every model is run on once."""

    folder: Path  # OUT/DATABASE/seed-N
    db: Path
    seed: int

    @property
    def population(self) -> str:
        """What units are reported together: synth-1 and synth-2 are both of "synth"."""
        return re.sub(r"[-_]?\d+$", "", self.folder.parent.name) or self.folder.parent.name

    def run(self, key: str) -> Path:
        """Return a model's folder."""
        return self.folder / key

    def is_done(self, key: str) -> bool:
        """Tell whether a model's run is finished."""
        return (self.run(key) / METRICS).is_file()

    def metrics(self, key: str) -> dict[str, Any]:
        """Return what a finished run measured."""
        found: dict[str, Any] = json.loads((self.run(key) / METRICS).read_text("utf-8"))
        return found


def units_in(out: Path) -> Iterator[Unit]:
    """Yield the units that OUT holds, by name and seed."""
    for path in sorted(out.glob("*/settings.json")):
        db = Path(json.loads(path.read_text("utf-8"))["database"])
        folders = path.parent.glob("seed-*")
        for folder in sorted(folders, key=lambda one: int(one.name.removeprefix("seed-"))):
            yield Unit(folder, db, int(folder.name.removeprefix("seed-")))


def claim(out: Path, db: Path, settings: AblationSettings, content: dict[str, Any]) -> Path:
    """Return the database's folder under OUT, kept to one content and one kind of settings.

    Raises:
        UsageError: OUT holds runs of another database of this name, or of other settings.
    """
    folder = out / db.stem
    path = folder / "settings.json"
    plain = json.loads(json.dumps(content, default=str))
    wanted = {"content": plain, **settings.to_dict()}
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        other = [name for name in wanted if before.get(name) != wanted[name]]
        if other:
            raise UsageError(
                f"{folder} holds runs with another {', '.join(other)}; "
                "give another --out, or the options that those runs had."
            )
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"database": str(db.resolve()), **wanted}, indent=1)
    path.write_text(text + "\n", "utf-8")
    return folder
