"""bfloat16 where the processor has it: losses in float32, gradients near those of float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.shop import toy_shop
from tests.trainer.small_batches import inputs, objective_of
from trainer.config import preset
from trainer.training import precision
from trainer.training.fit import make_accelerator
from trainer.training.precision import bfloat16_flags


def test_a_processor_without_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = replace(preset("tiny", 2), mixed_precision="bf16")
    monkeypatch.setattr(precision, "bfloat16_flags", lambda: ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.precision(wanted) == "no"
    monkeypatch.setattr(precision, "bfloat16_flags", lambda: ("amx_bf16",))
    assert precision.precision(wanted) == "bf16"
    assert precision.precision(replace(wanted, mixed_precision="no")) == "no"


def test_losses_stay_in_float32_and_near_those_of_float32(tmp_path: Path) -> None:
    objective, data = objective_of(toy_shop(tmp_path), 3)
    made = inputs(objective, data, np.arange(20))
    exact, _ = objective(made)
    torch.stack(list(exact.values())).sum().backward()
    wanted = {n: w.grad.clone() for n, w in objective.named_parameters() if w.grad is not None}
    objective.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = objective(made)
    torch.stack(list(losses.values())).sum().backward()
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.03, atol=0.03)
    whole, near = (
        torch.cat([grads[name].flatten() for name in wanted])
        for grads in (wanted, {n: w.grad for n, w in objective.named_parameters()})
    )
    assert torch.cosine_similarity(whole, near, dim=0) > 0.99


def test_an_accelerator_computes_in_bfloat16_where_the_processor_can() -> None:
    made = make_accelerator(replace(preset("tiny", 2), mixed_precision="bf16"))
    fast = bool(bfloat16_flags()) or torch.cuda.is_available()
    assert made.mixed_precision == ("bf16" if fast else "no")
