"""What a contrastive loss needs of several processes: each other's rows, with their gradients.

With one process every function returns what it was given.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional


def processes() -> tuple[int, int]:
    """Return (this process's rank, their number)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(values: Tensor) -> Tensor:
    """Return the rows of all processes in the order of their ranks; gradients flow back.

    Processes may hold different numbers of rows, and sequences (dimension 1) of different
    lengths: the shorter are filled with zeros at their end, which their masks call no token.

    Args:
        values: (B, ...); the same dimensions from the third on in every process.

    Returns:
        (sum of B, ...).
    """
    if processes()[1] == 1:
        return values
    sizes = _sizes(values)
    largest = sizes.amax(dim=0).tolist()
    padding: list[int] = []
    for have, want in reversed(list(zip(values.shape[:2], largest, strict=True))):
        padding += [0, want - have]
    padding = [0, 0] * (values.ndim - len(largest)) + padding
    kind = values.dtype
    wide = values.to(torch.uint8) if kind == torch.bool else values
    padded = functional.pad(wide, padding)
    everyone: Tensor = _Gather.apply(padded)  # type: ignore[no-untyped-call]  # (processes, B, ...)
    kept = torch.cat([part[: int(size[0])] for part, size in zip(everyone, sizes, strict=True)])
    return kept.to(kind)


def first_row(rows: int, device: torch.device) -> int:
    """Return where this process's rows start among the gathered ones."""
    rank, count = processes()
    return int(_sizes(torch.empty(rows, device=device))[:rank].sum()) if count > 1 else 0


def total(values: Tensor) -> Tensor:
    """Return the sum of values over all processes, without gradient."""
    summed = values.detach().clone()
    if processes()[1] > 1:
        dist.all_reduce(summed)
    return summed


def mean_of_all(values: Tensor, counted: Tensor) -> Tensor:
    """Return this process's share of the mean of all processes' values where counted holds.

    The share is scaled by the number of processes: averaged over them, as gradients are, shares
    make the mean.
    """
    count = total(counted.sum())
    return torch.where(counted, values, 0.0).sum() * processes()[1] / count.clamp(min=1)


def _sizes(values: Tensor) -> Tensor:
    """Return every process's size of the first two dimensions, (processes, 1 or 2)."""
    mine = torch.tensor(values.shape[:2], device=values.device)
    return _stack(mine)


def _stack(values: Tensor) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(processes()[1])]
    dist.all_gather(parts, values.contiguous())
    return torch.stack(parts)


class _Gather(torch.autograd.Function):
    """All processes' values; what each of them pulls at this process's values is summed."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _stack(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        summed = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed[processes()[0]]
