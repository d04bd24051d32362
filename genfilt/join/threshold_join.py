"""Threshold join: every pair of two sets of vectors whose inner product reaches a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.arrays import Vectors
from genfilt.common.errors import UserError
from genfilt.join.pairs import TOLERANCE, Batch

if TYPE_CHECKING:
    import torch

    from genfilt.join.codes import JoinSide

MIN_MEMORY = 1 << 24
MIN_PLANNED_PAIRS = 1 << 20  # with fewer, planning costs more than it saves
MIN_LENGTH, MAX_LENGTH = 1e-12, 1e12  # lengths whose products stay normal numbers in float32


def threshold_join(
    left: Vectors,
    right: Vectors,
    threshold: float,
    *,
    device: str = "auto",
    memory: int = 1 << 30,
) -> Iterator[Batch]:
    """Yield all pairs (i, j) with left[i] . right[j] >= threshold - 1e-6 |left[i]| |right[j]|.

    Every pair comes once. Its score is the float64 inner product summed in one fixed order, so the
    answer is the same to the last bit for every device, block size and memory.

    Args:
        left: (N, D) float32, an array or memory map, of any finite norms.
        right: (M, D) float32, likewise.
        threshold: the least score, in units of the two vectors' lengths.
        device: "auto", "cpu" or a torch device.
        memory: bytes that the join may use beside its inputs, 16 MiB or more.

    Yields:
        (left index, right index, score): int64, int64 and float64 arrays of equal length, in no
        particular order.

    Raises:
        UserError: for input that has no right answer, before the first batch.
    """
    left, right = _checked(left, "left"), _checked(right, "right")
    if left.shape[1] != right.shape[1]:
        raise UserError(
            f"The left vectors have {left.shape[1]} dimensions and the right ones "
            f"{right.shape[1]}: embed both sides with the same model."
        )
    if not math.isfinite(threshold):
        raise UserError(f"The threshold is {threshold}: give a finite number such as 0.9.")
    if memory < MIN_MEMORY:
        raise UserError(f"memory={memory} bytes is too little for a join: give 16 MiB or more.")
    where = _device(device)
    if not len(left) or not len(right):
        return iter(())
    from genfilt.join.plan import measure

    sides = tuple(measure(vectors) for vectors in (left, right))
    for vectors, side, name in zip((left, right), sides, ("left", "right"), strict=True):
        if not math.isfinite(side.length):
            _refuse_infinite(vectors, name)
    return _join((left, right), (sides[0], sides[1]), float(threshold), where, memory)


def _join(
    vectors: tuple[Vectors, Vectors],
    sides: tuple[JoinSide, JoinSide],
    threshold: float,
    device: torch.device,
    memory: int,
) -> Iterator[Batch]:
    """The way that suits the sizes, the lengths and the device; every way gives the same pairs."""
    from genfilt.join import torch_join

    longest = sides[0].length * sides[1].length
    if threshold > longest * (1 + 2 * TOLERANCE):
        return iter(())
    small = len(vectors[0]) * len(vectors[1]) < MIN_PLANNED_PAIRS
    if small or not all(MIN_LENGTH < side.length < MAX_LENGTH for side in sides):
        return torch_join.plain_join(vectors, threshold, device, memory)
    from genfilt.join.plan import ACCELERATOR, make_plan

    least = max(threshold - TOLERANCE * longest, -1.01 * longest)
    if device.type != "cpu":
        plan = make_plan(vectors, sides, least, levels=1, costs=ACCELERATOR)
        return torch_join.coded_join(vectors, plan, threshold, device, memory)
    from genfilt.join import cpu_join
    from genfilt.join.llvm_tiles import multiplies_bytes

    plan = make_plan(vectors, sides, least, levels=cpu_join.LEVELS)
    return cpu_join.scan_join(vectors, plan, threshold, memory, multiplies_bytes())


def _checked(vectors: Vectors, side: str) -> Vectors:
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype != np.float32 or not array.shape[1]:
        raise UserError(
            f"The {side} vectors are {array.dtype} of shape {array.shape}: give a float32 matrix "
            "with one vector in each row."
        )
    return np.ascontiguousarray(array)


def _refuse_infinite(vectors: Vectors, side: str) -> None:
    """Raise for the first row that is not finite; a row of finite numbers may be that long."""
    for start in range(0, len(vectors), 8192):
        finite = np.isfinite(vectors[start : start + 8192]).all(axis=1)
        if not finite.all():
            raise UserError(
                f"Row {start + int(np.argmin(finite))} of the {side} vectors holds NaN or "
                "infinity: embed that item again or leave it out."
            )


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f'The device "{name}" cannot be used here: give "auto", "cpu" or "cuda".'
        ) from error
    return device
