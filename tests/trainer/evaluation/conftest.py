"""Fixtures of evaluation's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.evaluation.encoded_shop import unit
from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.encode import EncodedBenchmark
from trainer.model.query_life import QueryLife
from trainer.training.checkpoint import save_stage


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    model = QueryLife.build(preset("tiny", 1).model)
    save_stage(folder / "run" / "stage1", model, preset("tiny", 1))
    for cross in model.encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)
    save_stage(folder / "run" / "stage2", model, preset("tiny", 2))
    return folder / "run", toy_shop(folder / "shop")


@pytest.fixture
def encoded() -> EncodedBenchmark:
    rng = np.random.default_rng(0)
    return EncodedBenchmark(unit(rng, 9), unit(rng, 40), unit(rng, 40), unit(rng, 40), 0, {})


@pytest.fixture
def small() -> Benchmark:
    rng = np.random.default_rng(1)
    candidates = np.stack([rng.permutation(40)[:31] for _ in range(20)]).astype(np.int32) * 3
    candidates[4:, 20:] = -1
    return Benchmark(
        split="val",
        query=rng.integers(0, 9, 80).astype(np.int32) * 3,
        product=rng.integers(0, 40, 80).astype(np.int32) * 3,
        positive=rng.random(80) < 0.4,
        candidate_query=rng.integers(0, 9, 20).astype(np.int32) * 3,
        candidates=candidates,
        source="click",
        categories={0: "a", 3: "b", 6: "a"},
    )
