"""Stages on disk, written so that a reader never sees half of one.

A stage's folder holds config.json and model.safetensors once the stage is done, and while it
runs `step-N` folders from which it resumes. Weights of a frozen tower are not stored: they are
read again from where the configuration names them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genfilt.common.errors import UserError
from trainer.config import FitConfig
from trainer.model.query_life import QueryLife

WEIGHTS, CONFIG, OPTIMIZER, STATE = "model.safetensors", "config.json", "optimizer.pt", "state.json"


def stage_folder(out: Path, stage: int) -> Path:
    """Return where a run keeps a stage."""
    return out / f"stage{stage}"


def is_done(folder: Path) -> bool:
    """Tell whether a stage's folder holds its final weights."""
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


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
    """Return the configuration that a stage or step folder was written with.

    Raises:
        UserError: it is missing, or of another version.
    """
    path = folder / CONFIG
    try:
        return FitConfig.from_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no configuration of this trainer ({error}); train the stage anew."
        ) from error


def load_model(folder: Path) -> QueryLife:
    """Return the model of a stage's folder in eval mode, on the CPU.

    Raises:
        UserError: the folder holds no whole checkpoint.
    """
    model = QueryLife.build(load_config(folder).model)
    load_weights(model, folder)
    return model.eval()


def load_weights(model: QueryLife, folder: Path) -> None:
    """Fill a model with a folder's weights.

    Raises:
        UserError: there are none, or they are of another shape than the model.
    """
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); train the stage anew.") from error
    want = {name: tuple(value.shape) for name, value in stored(model).items()}
    have = {name: tuple(value.shape) for name, value in weights.items()}
    if want != have:
        name = sorted(set(want.items()) ^ set(have.items()))[0][0]
        raise UserError(
            f"The checkpoint {folder} has another shape than the model ({name} is "
            f"{have.get(name, 'absent')}, the model's {want.get(name, 'absent')}); "
            "give the options it was trained with, or another --out."
        )
    model.load_state_dict(weights, strict=False)


def stored(model: QueryLife) -> dict[str, Tensor]:
    """Return what a checkpoint holds of a model: all but a frozen tower."""
    frozen = "vision." if model.vision.frozen else None
    return {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if frozen is None or not name.startswith(frozen)
    }


def save_stage(folder: Path, model: QueryLife, config: FitConfig) -> None:
    """Write a finished stage and drop the folders it would resume from."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{WEIGHTS}.part"
    save_file(stored(model), part)
    _write(folder / CONFIG, json.dumps(config.to_dict(), indent=1).encode())
    _settle(part)
    part.replace(folder / WEIGHTS)
    drop_steps(folder)


def save_step(
    folder: Path,
    model: QueryLife,
    optimizer: torch.optim.Optimizer,
    config: FitConfig,
    state: dict[str, Any],
) -> None:
    """Write what a stage resumes from; state["step"] names the folder, older ones are dropped."""
    final = folder / f"step-{state['step']:08d}"
    part = folder / f"{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(stored(model), part / WEIGHTS)
    torch.save(optimizer.state_dict(), part / OPTIMIZER)
    _write(part / CONFIG, json.dumps(config.to_dict(), indent=1).encode())
    _write(part / STATE, json.dumps(state).encode())
    for file in part.iterdir():
        _settle(file)
    part.replace(final)
    for old in folder.glob("step-*"):
        if old != final:
            shutil.rmtree(old)


def latest_step(folder: Path) -> Path | None:
    """Return the newest whole step folder of a stage, None where there is none."""
    whole = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return max(whole, default=None)


def load_step(folder: Path, model: QueryLife, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Fill model and optimizer from a step folder and return its state.

    Raises:
        UserError: the folder's weights are of another shape.
    """
    load_weights(model, folder)
    optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
    state: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
    return state


def drop_steps(folder: Path) -> None:
    """Remove what a stage would resume from."""
    for path in folder.glob("step-*"):
        shutil.rmtree(path)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    _settle(part)
    part.replace(path)


def _settle(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
