"""A stage on disk: numbered runs, the checkpoints of each, and which run is current.

OUT/stageN has a folder `run-0001`, `run-0002`, ... for each time that the stage was trained, and a
file `current` that names the finished one. A run's folder has config.json from its start, `step-N`
folders to resume from while it runs, and model.safetensors once it is finished; then `current` is
replaced and earlier runs are removed. Whatever is killed when, a reader finds one run's weights
with that run's configuration. Weights of a frozen tower are not stored: they are read again from
where the configuration names them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genfilt.common.atomic import replaced, replaced_folder, write_text
from genfilt.common.errors import UserError
from trainer.config import FitConfig
from trainer.model.query_life import QueryLife

WEIGHTS, CONFIG, OPTIMIZER, STATE = "model.safetensors", "config.json", "optimizer.pt", "state.json"
CURRENT = "current"


def stage_folder(out: Path, stage: int) -> Path:
    """Return where a run keeps a stage."""
    return out / f"stage{stage}"


def current(folder: Path) -> Path:
    """Return the folder of a stage's finished run, or `folder` itself where it has no runs."""
    try:
        return folder / (folder / CURRENT).read_text("utf-8").strip()
    except OSError:
        return folder


def is_done(folder: Path) -> bool:
    """Tell whether a stage's folder has final weights."""
    run = current(folder)
    return (run / WEIGHTS).is_file() and (run / CONFIG).is_file()


def is_configured(folder: Path) -> bool:
    """Tell whether a stage's folder has a finished run, whose weights may be dropped."""
    return (current(folder) / CONFIG).is_file()


def latest_stage(out: Path) -> Path:
    """Return the folder of the highest stage that is done.

    Raises:
        UserError: there is none.
    """
    for stage in (3, 2, 1):
        if is_done(stage_folder(out, stage)):
            return stage_folder(out, stage)
    raise UserError(f"There is no trained stage in {out}; run trainer fit --stage 1 --out {out}.")


def load_config(folder: Path) -> FitConfig:
    """Return the configuration that a stage, run or step folder was written with.

    Raises:
        UserError: it is missing, or of another version.
    """
    path = current(folder) / CONFIG
    try:
        return FitConfig.from_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no configuration of this trainer ({error}); train the stage anew."
        ) from error


def load_model(folder: Path) -> QueryLife:
    """Return the model of a stage's folder in eval mode, on the CPU.

    Raises:
        UserError: the folder has no whole checkpoint.
    """
    model = QueryLife.build(load_config(folder).model)
    load_weights(model, folder)
    return model.eval()


def load_weights(model: QueryLife, folder: Path) -> None:
    """Fill a model with the weights of a stage, run, step or exported folder.

    Raises:
        UserError: there are none, or they are of another shape than the model.
    """
    load_weights_of(model, current(folder) / WEIGHTS)


def load_weights_of(model: QueryLife, path: Path) -> None:
    """Fill a model with the weights of a file.

    Raises:
        UserError: there is none, or its weights are of another shape than the model.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); train the stage anew.") from error
    want = {name: tuple(value.shape) for name, value in stored(model).items()}
    have = {name: tuple(value.shape) for name, value in weights.items()}
    if want != have:
        name = sorted(set(want.items()) ^ set(have.items()))[0][0]
        raise UserError(
            f"The checkpoint {path.parent} has another shape than the model ({name} is "
            f"{have.get(name, 'absent')}, the model's {want.get(name, 'absent')}); "
            "give the options it was trained with, or another --out."
        )
    model.load_state_dict(weights, strict=False)


def stored(model: QueryLife) -> dict[str, Tensor]:
    """Return what a checkpoint holds of a model: all but a frozen tower and the untrained copy."""
    frozen = ("untrained.", "vision.") if model.vision.frozen else ("untrained.",)
    return {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(frozen)
    }


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all, with the permissions of any new file.

    Raises:
        UserError: the file cannot be written.
    """
    with replaced(path) as part:
        part.touch()
        permissions = part.stat().st_mode & 0o777
        save_file(dict(weights), part, {"format": "pt"})
        part.chmod(permissions)  # safetensors makes a file of its own, for its owner alone


def last_run(folder: Path) -> Path | None:
    """Return the newest run of a stage, finished or not; None where there is none."""
    runs = [path for path in folder.glob("run-*") if re.fullmatch(r"run-\d+", path.name)]
    return max(runs, default=None)


def new_run(folder: Path, config: FitConfig) -> Path:
    """Make the folder of a stage's next run, with its configuration; unfinished ones are removed.

    Raises:
        UserError: the folder cannot be written.
    """
    finished = current(folder)
    last = last_run(folder)
    number = int(last.name.removeprefix("run-")) + 1 if last else 1
    run = folder / f"run-{number:04d}"
    with replaced_folder(run) as part:
        write_text(part / CONFIG, json.dumps(config.to_dict(), indent=1))
    _remove(path for path in folder.glob("run-*") if path not in (run, finished))
    return run


def finish_run(run: Path, model: QueryLife) -> None:
    """Write a run's final weights and make it the stage's current one; remove earlier runs.

    Raises:
        UserError: a file cannot be written.
    """
    write_weights(stored(model), run / WEIGHTS)
    write_text(run.parent / CURRENT, run.name + "\n")
    remove_leftovers(run)


def remove_leftovers(run: Path) -> None:
    """Remove what a finished run could be resumed from, and the stage's other runs."""
    _remove(run.glob("step-*"))
    for best in run.glob("best-*.safetensors"):
        best.unlink()
    _remove(path for path in run.parent.glob("run-*") if path != run)


def save_stage(folder: Path, model: QueryLife, config: FitConfig) -> Path:
    """Write a finished stage and return the folder of its run."""
    run = new_run(folder, config)
    finish_run(run, model)
    return run


def save_step(
    run: Path,
    model: QueryLife,
    optimizer: torch.optim.Optimizer,
    config: FitConfig,
    state: Mapping[str, object],
) -> None:
    """Write what a run resumes from; state["step"] names the folder, earlier ones are removed.

    Raises:
        UserError: the folder cannot be written.
    """
    final = run / f"step-{state['step']:08d}"
    with replaced_folder(final) as part:
        write_weights(stored(model), part / WEIGHTS)
        with (part / OPTIMIZER).open("wb") as file:
            torch.save(optimizer.state_dict(), file)
        write_text(part / CONFIG, json.dumps(config.to_dict(), indent=1))
        write_text(part / STATE, json.dumps(state))
    _remove(path for path in run.glob("step-*") if path != final)


def latest_step(run: Path) -> Path | None:
    """Return the newest whole step folder of a run, None where there is none."""
    whole = [
        path
        for path in run.glob("step-*")
        if re.fullmatch(r"step-\d+", path.name)
        and all((path / name).is_file() for name in (WEIGHTS, OPTIMIZER, CONFIG, STATE))
    ]
    return max(whole, default=None)


def load_step(
    folder: Path, model: QueryLife, optimizer: torch.optim.Optimizer
) -> dict[str, object]:
    """Fill model and optimizer from a step folder and return its state.

    Raises:
        UserError: the folder's weights are of another shape.
    """
    load_weights(model, folder)
    optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
    state: dict[str, object] = json.loads((folder / STATE).read_text("utf-8"))
    return state


def drop_weights(folder: Path) -> None:
    """Remove the final weights of a stage; its configuration and logs stay."""
    (current(folder) / WEIGHTS).unlink(missing_ok=True)


def _remove(folders: Iterable[Path]) -> None:
    """Remove folders; each is renamed first, so that a half-removed one is never read."""
    for folder in list(folders):
        removed = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(removed, ignore_errors=True)
        folder.replace(removed)
        shutil.rmtree(removed, ignore_errors=True)
