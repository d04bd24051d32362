"""Fixtures of ablation's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.shop import toy_shop
from trainer.ablation.plan import AblationSettings
from trainer.ablation.runs import run_all


@pytest.fixture(scope="package")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """OUT of all models on one shop, measured on an attacked one too."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("ablate")
    db = toy_shop(folder / "shop")
    attacked = toy_shop(folder / "hard", copies=3)
    attacked = attacked.rename(attacked.with_name("hard.duckdb"))
    settings = AblationSettings(preset="tiny", epochs=(1, 1, 1))
    assert run_all([db], [0], folder / "out", settings, [attacked]) == 10
    return folder / "out", db
