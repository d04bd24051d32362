"""Checkpoints: whole or absent, and refused where they do not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genfilt.common.errors import UserError
from trainer.config import FitConfig, preset
from trainer.model.query_life import QueryLife
from trainer.training import checkpoint
from trainer.training.optim import build_optimizer

CONFIG = preset("tiny", 1)


def model(seed: int = 0, config: FitConfig = CONFIG) -> QueryLife:
    torch.manual_seed(seed)
    return QueryLife.build(config.model)


def equal(one: QueryLife, other: QueryLife) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_a_stage_comes_back_as_it_was(tmp_path: Path) -> None:
    config = replace(preset("tiny", 2), without=("qma",), seed=3)
    checkpoint.save_stage(tmp_path / "stage2", model(1), config)
    assert checkpoint.load_config(tmp_path / "stage2") == config
    loaded = checkpoint.load_model(tmp_path / "stage2")
    assert equal(loaded, model(1))
    assert not loaded.training


def test_the_latest_stage_is_the_highest_that_is_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained stage in .*run trainer fit --stage 1"):
        checkpoint.latest_stage(tmp_path)
    checkpoint.save_stage(tmp_path / "stage1", model(), CONFIG)
    checkpoint.new_run(tmp_path / "stage2", CONFIG)
    (tmp_path / "stage2" / "run-0001" / ".model.safetensors.1.part").write_bytes(b"half")
    assert checkpoint.latest_stage(tmp_path) == tmp_path / "stage1"


def step(folder: Path, number: int, seed: int) -> None:
    made = model(seed)
    optimizer = build_optimizer(made, CONFIG)
    made.raw_temperature.grad = torch.tensor(1.0)
    optimizer.step()
    checkpoint.save_step(folder, made, optimizer, CONFIG, {"step": number})


def test_the_newest_whole_step_is_resumed_and_older_ones_go(tmp_path: Path) -> None:
    step(tmp_path, 5, seed=1)
    step(tmp_path, 10, seed=2)
    half = tmp_path / "step-00000015.part"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert [path.name for path in tmp_path.glob("step-*[0-9]")] == ["step-00000010"]
    latest = checkpoint.latest_step(tmp_path)
    assert latest == tmp_path / "step-00000010"
    made = model(9)
    optimizer = build_optimizer(made, CONFIG)
    assert checkpoint.load_step(latest, made, optimizer) == {"step": 10}
    reference = model(2)
    want = build_optimizer(reference, CONFIG)
    reference.raw_temperature.grad = torch.tensor(1.0)
    want.step()
    assert equal(made, reference)
    assert optimizer.state_dict()["state"].keys() == want.state_dict()["state"].keys()
    checkpoint.finish_run(tmp_path, made)
    assert not list(tmp_path.glob("step-*"))


def test_another_shape_is_one_sentence(tmp_path: Path) -> None:
    checkpoint.save_stage(tmp_path, model(), CONFIG)
    wider = replace(CONFIG, model=replace(CONFIG.model, embed_dim=16))
    with pytest.raises(UserError, match=r"another shape than the model \(fused_projection"):
        checkpoint.load_weights(model(config=wider), tmp_path)


def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    checkpoint.save_stage(tmp_path, model(), CONFIG)
    run = checkpoint.current(tmp_path)
    (run / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load_model(tmp_path)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "unheard_of": 1}))
    with pytest.raises(UserError, match="no configuration of this trainer"):
        checkpoint.load_config(tmp_path)


def test_a_frozen_tower_is_not_stored(tmp_path: Path) -> None:
    made = model()
    whole = checkpoint.stored(made)
    made.vision.frozen = True
    less = checkpoint.stored(made)
    assert {name for name in whole if name.startswith("vision.")} == whole.keys() - less.keys()
    assert whole.keys() != less.keys()
