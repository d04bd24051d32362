"""Gradient caching: the plain step's losses and gradients, with less kept on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genfilt.common.errors import UsageError
from tests.trainer.shop import toy_shop
from tests.trainer.small_batches import inputs, objective_of
from trainer.config import preset
from trainer.training.fit import fit
from trainer.training.objective import Objective

PLACES = np.arange(20)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("cache"))


def step(objective: Objective, made: Any) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Return losses, gradients and how many bytes the graph kept."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    objective.zero_grad()
    weights = {w.untyped_storage().data_ptr() for w in objective.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses, _ = objective(made)
    torch.stack(list(losses.values())).sum().backward()
    grads = {n: w.grad.clone() for n, w in objective.named_parameters() if w.grad is not None}
    return losses, grads, sum(size for place, size in kept.items() if place not in weights)


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_cached_step_is_the_plain_step(shop: Path, stage: int, rows: int) -> None:
    objective, source = objective_of(shop, stage)
    made = inputs(objective, source, PLACES % len(source.rows))
    # Sums in another order: in float32 some processors differ by more than the bound.
    objective.double()
    made = replace(made, images=made.images.double())
    plain, plain_grads, _ = step(objective, made)
    objective.micro_batch = rows
    cached, cached_grads, _ = step(objective, made)
    assert plain.keys() == cached.keys()
    for name, loss in plain.items():
        torch.testing.assert_close(cached[name], loss, atol=1e-5, rtol=0)
    assert plain_grads.keys() == cached_grads.keys()
    for name, grad in plain_grads.items():
        torch.testing.assert_close(cached_grads[name], grad, atol=1e-5, rtol=1e-5)
    assert max(float(grad.abs().max()) for grad in plain_grads.values()) > 1e-3


def test_less_is_kept_between_forward_and_backward(shop: Path) -> None:
    objective, source = objective_of(shop, 2)
    made = inputs(objective, source, PLACES % len(source.rows))
    *_, plain = step(objective, made)
    objective.micro_batch = 4
    *_, cached = step(objective, made)
    assert cached < plain / 4


def test_dropout_is_the_same_in_both_runs_of_a_row(shop: Path) -> None:
    """The gradient is that of the loss which was computed, as its slope shows."""
    objective, source = objective_of(shop, 1)
    made = inputs(objective, source, PLACES % len(source.rows))
    objective.micro_batch = 6
    for module in objective.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    objective.parts = ("itc",)
    objective.double()
    made = replace(made, images=made.images.double())
    objective.train()
    weight = objective.model.text_projection.weight

    def loss() -> Tensor:
        torch.manual_seed(3)
        return objective(made)[0]["itc"]

    objective.zero_grad()
    loss().backward()
    assert weight.grad is not None
    direction = torch.randn_like(weight)
    slope = float((weight.grad * direction).sum())
    with torch.no_grad():
        weight += 1e-3 * direction
        above = float(loss())
        weight -= 2e-3 * direction
        below = float(loss())
    assert (above - below) / 2e-3 == pytest.approx(slope, rel=1e-2)


def test_a_cached_stage_ends_where_the_plain_one_ends(shop: Path, tmp_path: Path) -> None:
    config = replace(preset("tiny", 1), epochs=1)
    plain = fit(config, shop, tmp_path / "plain")
    cached = fit(replace(config, micro_batch=5), shop, tmp_path / "cached")
    assert cached.losses == pytest.approx(plain.losses, abs=1e-3)


def test_no_rows_at_once_is_refused() -> None:
    with pytest.raises(UsageError, match="--micro-batch is 0"):
        replace(preset("tiny", 1), micro_batch=0)
