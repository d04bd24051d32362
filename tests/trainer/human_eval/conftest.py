"""Fixtures of human_eval's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.model.query_life import QueryLife
from trainer.serving.relevance_model import RelevanceModel


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders = []
    for seed, name in enumerate(("secret-one", "secret-two")):
        torch.manual_seed(seed)
        model = QueryLife.build(preset("tiny", 2).model)
        folders.append(tmp_path_factory.mktemp("models") / name)
        RelevanceModel(model).save_pretrained(folders[-1])
    return folders[0], folders[1]


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("shop"))
