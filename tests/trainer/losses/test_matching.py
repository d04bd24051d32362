"""Eq. 3 and its negatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.losses.matching import draw_negatives, matching_rows, row_uniforms


def test_values_and_gradients_equal_the_loop() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double()
    target = torch.tensor([1, 0, 0, 1, 1, 0])
    fast, slow = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    values = matching_rows(fast, target)
    values.mean().backward()
    loops = [-(row[t].exp() / row.exp().sum()).log() for row, t in zip(slow, target, strict=True)]
    torch.stack(loops).mean().backward()
    torch.testing.assert_close(values, torch.stack(loops))
    torch.testing.assert_close(fast.grad, slow.grad)


@settings(max_examples=10_000, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_masked_pair_is_never_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 9, size=2)
    similarity = torch.from_numpy(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    forbidden = torch.from_numpy(rng.random((rows, columns)) < rng.choice([0.1, 0.5, 0.95, 1.0]))
    uniform = torch.from_numpy(rng.choice([0.0, rng.random(), np.nextafter(1, 0)], size=rows))
    temperature = float(rng.choice([0.01, 0.07, 0.5]))
    drawn, found = draw_negatives(similarity, forbidden, temperature, uniform)
    assert torch.equal(found, ~forbidden.all(dim=1))
    assert not forbidden[torch.arange(rows), drawn][found].any()


def test_drawn_in_proportion_to_the_exponential() -> None:
    similarity = torch.tensor([[0.9, 0.5, 0.3, 0.45]]).expand(200_000, 4)
    forbidden = torch.tensor([[True, False, False, False]]).expand(200_000, 4)
    uniform = row_uniforms(0, 0, "title", 200_000)
    drawn, _ = draw_negatives(similarity, forbidden, 0.1, uniform)
    share = torch.bincount(drawn, minlength=4) / 200_000
    weight = torch.tensor([0.0, 5.0, 3.0, 4.5]).exp() * torch.tensor([0, 1, 1, 1])
    torch.testing.assert_close(share, weight / weight.sum(), atol=5e-3, rtol=0)


def test_weights_that_underflow_still_leave_a_draw() -> None:
    similarity = torch.tensor([[1.0, -1e4, -1e4 - 1]])
    drawn, found = draw_negatives(
        similarity, torch.tensor([[True, False, False]]), 0.01, torch.tensor([0.999])
    )
    assert found.item()
    assert drawn.item() == 1


def test_no_gradient_passes_through_the_draw() -> None:
    similarity = torch.rand(3, 3, requires_grad=True)
    drawn, _ = draw_negatives(similarity, torch.eye(3).bool(), 0.07, torch.rand(3))
    assert not drawn.requires_grad


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_nothing_to_draw_from(shape: tuple[int, int]) -> None:
    drawn, found = draw_negatives(
        torch.zeros(shape), torch.zeros(shape).bool(), 0.07, torch.zeros(shape[0])
    )
    assert drawn.shape == found.shape == (shape[0],)
    assert not found.any()


def test_a_rows_number_hangs_on_seed_step_side_and_row_alone() -> None:
    long, short = row_uniforms(3, 5, "image", 8), row_uniforms(3, 5, "image", 4)
    assert torch.equal(long[:4], short)
    for other in (row_uniforms(4, 5, "image", 8), row_uniforms(3, 6, "image", 8)):
        assert not torch.equal(long, other)
    assert not torch.equal(long, row_uniforms(3, 5, "title", 8))
