"""Eq. 1 and 2 against loops, against cross entropy and against pytorch-metric-learning."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.contrastive import (
    contrastive,
    contrastive_rows,
    cross_query_pairs,
    image_text_contrastive,
    mean_over_counted,
    separate_positives,
)

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def unit(rows: int, seed: int, width: int = 7) -> Tensor:
    made = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)).double()
    return functional.normalize(made, dim=1).requires_grad_()


def some_mask(rows: int, columns: int, seed: int, share: float = 0.3) -> Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share


def naive(rows: Tensor, columns: Tensor, positive: Tensor, tau: Tensor) -> Tensor:
    """Eq. 2 as it is printed, one term at a time."""
    losses = []
    for i in range(len(rows)):
        members = [j for j in range(len(columns)) if positive[i, j]]
        if not members:
            continue
        total = sum((rows[i] @ columns[j] / tau).exp() for j in range(len(columns)))
        terms = [((rows[i] @ columns[p] / tau).exp() / total).log() for p in members]
        losses.append(-sum(terms) / len(members))
    nothing = (rows.sum() + columns.sum() + tau) * 0
    return sum(losses) / len(losses) if losses else nothing


def cross_query(rows: Tensor, columns: Tensor, positive: Tensor, tau: Tensor | float) -> Tensor:
    return mean_over_counted(cross_query_pairs(rows, columns, positive, tau), positive)


def naive_cross_query(rows: Tensor, columns: Tensor, positive: Tensor, tau: Tensor) -> Tensor:
    """QMX as its docstring prints it, one term at a time."""
    pairs = [(a, b) for a in range(len(rows)) for b in range(len(columns))]
    against = [(rows[a] @ columns[b] / tau).exp() for a, b in pairs if not positive[a, b]]
    own = [(rows[a] @ columns[b] / tau).exp() for a, b in pairs if positive[a, b]]
    nothing = (rows.sum() + columns.sum() + tau) * 0
    return -sum((one / (one + sum(against))).log() for one in own) / len(own) if own else nothing


def naive_separate(rows: Tensor, columns: Tensor, positive: Tensor, tau: Tensor) -> Tensor:
    """Each positive against its row's negatives, as the docstring prints it, term by term."""
    losses = []
    for i in range(len(rows)):
        shares = [(rows[i] @ columns[j] / tau).exp() for j in range(len(columns))]
        against = [one for j, one in enumerate(shares) if not positive[i, j]]
        own = [one for j, one in enumerate(shares) if positive[i, j]]
        if own:
            losses.append(-sum((one / (one + sum(against))).log() for one in own) / len(own))
    nothing = (rows.sum() + columns.sum() + tau) * 0
    return sum(losses) / len(losses) + nothing if losses else nothing


@pytest.mark.parametrize(
    "losses",
    [
        (contrastive, naive),
        (cross_query, naive_cross_query),
        (separate_positives, naive_separate),
    ],
    ids=["eq. 2", "QMX", "separate positives"],
)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 5), (3, 11), (13, 4)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_values_and_gradients_equal_the_loops(
    losses: tuple[Loss, Loss], rows: int, columns: int, share: float
) -> None:
    positive = some_mask(rows, columns, rows + columns, share)
    made = []
    for loss in losses:
        q, z = unit(rows, 1), unit(columns, 2)
        tau = torch.tensor(0.07, dtype=torch.float64, requires_grad=True)
        value = loss(q, z, positive, tau)
        value.backward()
        made.append((value.detach(), q.grad, z.grad, tau.grad))
    for fast, slow in zip(*made, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9, check_dtype=False)


def test_one_positive_each_is_cross_entropy() -> None:
    q, z = unit(9, 1), unit(9, 2)
    expected = functional.cross_entropy(q @ z.T / 0.07, torch.arange(9))
    torch.testing.assert_close(contrastive(q, z, torch.eye(9).bool(), 0.07), expected)


def test_agrees_with_supconloss_where_the_two_coincide() -> None:
    from pytorch_metric_learning.losses import SupConLoss

    q, z = unit(8, 1), unit(8, 2)
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    theirs = SupConLoss(temperature=0.1)(q, groups, ref_emb=z, ref_labels=groups.clone())
    ours = contrastive(q, z, groups[:, None] == groups[None], 0.1)
    torch.testing.assert_close(ours, theirs)


def test_rows_without_positives_add_nothing_and_are_not_counted() -> None:
    q, z = unit(4, 1), unit(6, 2)
    positive = some_mask(4, 6, 3)
    positive[2] = False
    positive[:2, 0] = True
    values, counted = contrastive_rows(q, z, positive, 0.07)
    assert not counted[2]
    assert values[2] == 0
    torch.testing.assert_close(contrastive(q, z, positive, 0.07), values[counted].mean())


def test_no_positive_at_all_is_zero_with_a_gradient_of_zero() -> None:
    q, z = unit(3, 1), unit(3, 2)
    loss = contrastive(q, z, torch.zeros(3, 3).bool(), 0.07)
    loss.backward()
    assert loss == 0
    assert q.grad is not None
    assert not q.grad.any()


def test_empty_batch() -> None:
    q, z = unit(0, 1), unit(0, 2)
    assert contrastive(q, z, torch.zeros(0, 0).bool(), 0.07) == 0


def test_half_precision_is_widened_and_large_logits_stay_finite() -> None:
    q, z = unit(6, 1).detach().bfloat16(), unit(6, 2).detach().bfloat16()
    loss = contrastive(q, z, torch.eye(6).bool(), 1e-4)
    assert loss.dtype == torch.float32
    assert math.isfinite(loss)


def test_image_text_is_both_ways_halved() -> None:
    images, titles = unit(5, 1), unit(5, 2)
    positive = torch.eye(5).bool()
    positive[0, 3] = True  # image 0 also matches title 3; title 0 does not match image 3
    there = naive(images, titles, positive, torch.tensor(0.07))
    back = naive(titles, images, positive.T, torch.tensor(0.07))
    made = image_text_contrastive(images, titles, positive, 0.07)
    torch.testing.assert_close(made, (there + back) / 2)


def test_across_queries_one_positive_among_a_rows_own_columns_is_cross_entropy() -> None:
    q, z = unit(1, 1), unit(9, 2)
    positive = torch.arange(9)[None] == 4
    expected = functional.cross_entropy(q @ z.T / 0.07, torch.tensor([4]))
    torch.testing.assert_close(cross_query(q, z, positive, 0.07), expected)


def test_across_queries_a_level_that_a_row_alone_does_not_see_costs() -> None:
    """Two rows in perfect order, one of them far below the other's negatives."""
    q = torch.eye(2).double()
    z = torch.tensor([[0.4, 0.9], [0.2, 0.7]]).double()  # scores of q0: 0.4, 0.2; of q1: 0.9, 0.7
    positive = torch.tensor([[True, False], [True, False]])
    shifted = z - torch.tensor([0.0, 0.5])
    torch.testing.assert_close(
        contrastive(q, z, positive, 0.1), contrastive(q, shifted, positive, 0.1)
    )
    assert cross_query(q, z, positive, 0.1) > 1.5 > cross_query(q, shifted, positive, 0.1)


def test_ignored_columns_are_as_if_they_were_not_there() -> None:
    rows, columns, positive = unit(6, 0), unit(9, 1), some_mask(6, 9, 2)
    positive[2] = False
    ignored = some_mask(6, 9, 3, share=0.4)
    losses, counted = contrastive_rows(rows, columns, positive, 0.1, ignored)
    for i in range(6):
        kept = (~ignored[i] | positive[i]).nonzero()[:, 0]
        (expected,), (counts,) = contrastive_rows(
            rows[i : i + 1], columns[kept], positive[i : i + 1, kept], 0.1
        )
        assert bool(counts) == bool(counted[i])
        assert losses[i].item() == pytest.approx(expected.item())
    losses.sum().backward()
    assert rows.grad is not None
    assert columns.grad is not None
    assert rows.grad.isfinite().all()
    assert columns.grad.isfinite().all()
    everything = torch.ones_like(ignored)
    assert contrastive(rows, columns, positive & False, 0.1, everything).item() == 0
    assert contrastive(rows, columns, positive, 0.1, positive & False).item() == pytest.approx(
        contrastive(rows, columns, positive, 0.1).item()
    )


def test_ignored_pairs_are_no_negatives_across_queries() -> None:
    rows, columns, positive = unit(5, 0), unit(5, 1), torch.eye(5, dtype=torch.bool)
    ignored = some_mask(5, 5, 3, share=0.4) & ~positive
    found = cross_query_pairs(rows, columns, positive, 0.1, ignored)
    logits = rows @ columns.T / 0.1
    negatives = logits[~positive & ~ignored].exp().sum()
    for i in range(5):
        expected = -(logits[i, i].exp() / (logits[i, i].exp() + negatives)).log()
        assert found[i, i].item() == pytest.approx(expected.item())


def test_separate_positives_leave_ignored_columns_out() -> None:
    rows, columns = unit(5, 1), unit(8, 2)
    positive, ignored = some_mask(5, 8, 3), some_mask(5, 8, 4)
    kept = separate_positives(rows, columns, positive, 0.1, ignored)
    for i in range(5):
        stays = ~ignored[i] | positive[i]
        if positive[i].any():
            break
    one = separate_positives(rows[i : i + 1], columns[stays], positive[i : i + 1, stays], 0.1)
    alone = separate_positives(
        rows[i : i + 1], columns, positive[i : i + 1], 0.1, ignored[i : i + 1]
    )
    torch.testing.assert_close(alone, one)
    assert kept < separate_positives(rows, columns, positive, 0.1)


def test_a_strong_positive_is_not_pushed_down_for_another() -> None:
    """Eq. 2 lowers the better of two positives; apart from each other both are drawn nearer."""
    scores = torch.tensor([[3.0, 1.0, 0.0]], requires_grad=True)
    positive = torch.tensor([[True, True, False]])
    found = {}
    for loss in (contrastive, separate_positives):
        # Columns of the unit matrix: a row's cosines are its entries.
        loss(scores, torch.eye(3), positive, 1.0).backward()
        assert scores.grad is not None
        found[loss] = scores.grad[0].clone()
        scores.grad = None
    assert found[contrastive][0] > 0
    assert (found[separate_positives][:2] < 0).all()
