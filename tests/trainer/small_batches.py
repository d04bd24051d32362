"""A stage's objective and a batch of it, from a hand-made shop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trainer.batches.inputs import Inputs, inputs_of
from trainer.batches.reader import Batch, BatchReader
from trainer.config import Ablation, FitConfig, preset
from trainer.model.query_life import QueryLife
from trainer.training.objective import Objective, parts_of
from trainer.training.stage_data import StageData


def lively(config: FitConfig) -> QueryLife:
    """A model whose cross-attention already tells pictures apart."""
    torch.manual_seed(config.seed)
    model = QueryLife.build(config.model)
    for cross in model.encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)  # type: ignore[union-attr]
    return model


def objective_of(
    db: Path, stage: int, without: tuple[Ablation, ...] = ()
) -> tuple[Objective, StageData]:
    config = replace(preset("tiny", stage), without=without)
    source = StageData.read(db, config)
    parts = parts_of(stage, without, cross_query=True)
    return Objective(lively(config), source.masks, parts, seed=1), source


def batch_of(objective: Objective, source: StageData, places: np.ndarray, number: int = 5) -> Batch:
    transform = objective.model.image_transform
    return BatchReader(source.rows, source.catalogue.images, transform, None)[number, places]


def inputs(objective: Objective, source: StageData, places: np.ndarray) -> Inputs:
    batch = batch_of(objective, source, places)
    return inputs_of(batch, source.catalogue, objective.model.tokenize, torch.device("cpu"))
