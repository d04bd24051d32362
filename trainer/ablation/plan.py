"""The plan of `trainer ablate`: models, databases, seeds, and the folders of their runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError
from trainer.ablation.database_content import DatabaseContent
from trainer.ablation.models import BASELINES, VARIANTS, Checkpoints
from trainer.ablation.run_result import MEASURED, RunResult
from trainer.baselines.baseline import Baseline
from trainer.config import Ablation, FitConfig, preset


@dataclass(frozen=True)
class AblationSettings:
    """The options of a run beside its database and seed.

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
            matching=True,  # the paper's model, of which QMF is an ablation
        )
        return replace(config, epochs=self.epochs[stage - 1]) if self.epochs else config

    def compared(self) -> dict[str, Baseline]:
        """Return the baselines by the names of their folders."""
        if not self.baselines:
            return {}
        given = Checkpoints(preset(self.preset, 1).model, self.clip, self.blip2)
        return {one.key: one.baseline(given) for one in BASELINES if one.baseline is not None}

    @property
    def keys(self) -> list[str]:
        """The folders of the models that are run."""
        baselines = [one.key for one in BASELINES] if self.baselines else []
        return [one.key for one in VARIANTS] + baselines

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as JSON holds them."""
        plain: dict[str, object] = json.loads(json.dumps(asdict(self)))
        return plain


@dataclass(frozen=True)
class Unit:
    """A database and a seed, on which every model is run once."""

    folder: Path  # OUT/DATABASE/seed-N
    db: Path
    seed: int

    @property
    def group(self) -> str:
        """The name of the units that are reported together: "synth" of synth-1 and synth-2."""
        return re.sub(r"[-_]?\d+$", "", self.folder.parent.name) or self.folder.parent.name

    def run(self, key: str) -> Path:
        """Return a model's folder."""
        return self.folder / key

    def is_done(self, key: str) -> bool:
        """Return whether a model's run is finished."""
        return (self.run(key) / MEASURED).is_file()

    def result(self, key: str) -> RunResult:
        """Return what a finished run measured."""
        return RunResult.read(self.run(key))


def units_in(out: Path) -> Iterator[Unit]:
    """Yield the units that OUT holds, by name and seed."""
    for path in sorted(out.glob("*/settings.json")):
        db = Path(json.loads(path.read_text("utf-8"))["database"])
        folders = path.parent.glob("seed-*")
        for folder in sorted(folders, key=lambda one: int(one.name.removeprefix("seed-"))):
            yield Unit(folder, db, int(folder.name.removeprefix("seed-")))


def claim(out: Path, db: Path, settings: AblationSettings, content: DatabaseContent) -> Path:
    """Return the database's folder under OUT, kept to one content and one kind of settings.

    Raises:
        UsageError: OUT holds runs of another database of this name, or of other settings.
    """
    folder = out / db.stem
    path = folder / "settings.json"
    wanted: dict[str, object] = {"content": asdict(content), **settings.to_dict()}
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        other = [name for name in wanted if before.get(name) != wanted[name]]
        if other:
            raise UsageError(
                f"{folder} holds runs with another {', '.join(other)}; "
                "give another --out, or the options that those runs had."
            )
    text = json.dumps({"database": str(db.resolve()), **wanted}, indent=1)
    write_text(path, text + "\n")
    return folder
