"""Threshold join: every pair of two sets of vectors whose inner product reaches a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.errors import UserError
from genfilt.join.pairs import TOLERANCE, Batch, Vectors

if TYPE_CHECKING:
    import torch

    from genfilt.join.codes import JoinSide

LEAST_MEMORY = 1 << 24
SMALL = 1 << 20  # pairs below which planning costs more than it saves
SHORTEST, LONGEST = 1e-12, 1e12  # lengths whose products stay normal numbers in float32


def threshold_join(
    left: Vectors,
    right: Vectors,
    threshold: float,
    *,
    device: str = "auto",
    memory: int = 1 << 30,
) -> Iterator[Batch]:
    """Yield all pairs (i, j) with left[i] . right[j] >= threshold - 1e-6 |left[i]| |right[j]|.

    left is (N, D) and right (M, D), float32, arrays or memory maps, of any finite norms. Each batch
    is (left_index, right_index, score): equally long int64, int64 and float64 arrays, in no
    particular order; every pair comes once. The score is the float64 inner product summed in one
    fixed order, so the answer is the same to the last bit for every device, block size and memory.
    device is "auto", "cpu" or a torch device; memory is what the join may use beside its inputs, in
    bytes. Raises UserError for input that has no right answer, before the first batch.
    """
    left, right = _checked(left, "left"), _checked(right, "right")
    if left.shape[1] != right.shape[1]:
        raise UserError(
            f"The left vectors have {left.shape[1]} dimensions and the right ones "
            f"{right.shape[1]}: embed both sides with the same model."
        )
    if not math.isfinite(threshold):
        raise UserError(f"The threshold is {threshold}: give a finite number such as 0.9.")
    if memory < LEAST_MEMORY:
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
    from genfilt.join import torch_join as blocks

    longest = sides[0].length * sides[1].length
    if threshold > longest * (1 + 2 * TOLERANCE):
        return iter(())
    small = len(vectors[0]) * len(vectors[1]) < SMALL
    if small or not all(SHORTEST < side.length < LONGEST for side in sides):
        return blocks.plain_join(vectors, threshold, device, memory)
    from genfilt.join.plan import make_plan

    least = max(threshold - TOLERANCE * longest, -1.01 * longest)
    if device.type != "cpu":
        plan = make_plan(vectors, sides, least, levels=1)
        return blocks.coded_join(vectors, plan, threshold, device, memory)
    from genfilt.join import cpu_join as cpu
    from genfilt.join.llvm_tiles import multiplies_bytes

    plan = make_plan(vectors, sides, least, levels=cpu.LEVELS)
    return cpu.scan_join(vectors, plan, threshold, memory, multiplies_bytes())


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
