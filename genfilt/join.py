"""Threshold join: every pair of two sets of vectors whose inner product reaches a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genfilt.errors import GenfiltError

if TYPE_CHECKING:
    import torch

Vectors = npt.NDArray[np.float32]
Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]

TOLERANCE = 1e-6
LANES = 16


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
    particular order; every pair comes once. The score is the float64 inner product summed in one fixed order,
    so the answer is the same to the last bit for every device, block size and memory.
    device is "auto", "cpu" or a torch device; memory is what the join may use beside its inputs, in
    bytes. Raises GenfiltError for input that has no right answer, before the first batch.
    """
    left, right = _checked(left, "left"), _checked(right, "right")
    if left.shape[1] != right.shape[1]:
        raise GenfiltError(
            f"The left vectors have {left.shape[1]} dimensions and the right ones "
            f"{right.shape[1]}: embed both sides with the same model."
        )
    if not math.isfinite(threshold):
        raise GenfiltError(f"The threshold is {threshold}: give a finite number such as 0.9.")
    if memory < 1 << 24:
        raise GenfiltError(f"memory={memory} bytes is too little for a join: give 16 MiB or more.")
    return _torch_join(left, right, float(threshold), _device(device), memory)


def _checked(vectors: Vectors, side: str) -> Vectors:
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype != np.float32 or not array.shape[1]:
        raise GenfiltError(
            f"The {side} vectors are {array.dtype} of shape {array.shape}: give a float32 matrix "
            "with one vector in each row."
        )
    for start in range(0, len(array), 65536):
        finite = np.isfinite(array[start : start + 65536]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise GenfiltError(
                f"Row {row} of the {side} vectors holds NaN or infinity: embed that item again or "
                "leave it out."
            )
    return array


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GenfiltError(
            f'The device "{name}" cannot be used here: give "auto", "cpu" or "cuda".'
        ) from error
    return device


def exact_scores(
    left: torch.Tensor,  # (P, D) float32
    right: torch.Tensor,  # (P, D) float32
) -> torch.Tensor:  # (P,) float64
    """Inner products row by row in float64, summed in an order that no device can change.

    A product of two float32 is exact in float64, so only the order of the sum matters: element d
    goes to lane d mod 16, lanes grow in order of d, and then fold in halves.
    """
    import torch

    padding = (0, -left.shape[1] % LANES)
    products = torch.nn.functional.pad(left.double() * right.double(), padding)
    products = products.view(len(left), -1, LANES)
    lanes = products[:, 0].clone()
    for step in range(1, products.shape[1]):
        lanes += products[:, step]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def _torch_join(
    left: Vectors, right: Vectors, threshold: float, device: torch.device, memory: int
) -> Iterator[Batch]:
    """Blocks of a float32 product with a margin for its rounding; survivors are scored again."""
    import torch

    if not len(left) or not len(right):
        return
    width = left.shape[1]
    rows = max(1, min(8192, memory // (16 * max(width, 1) * 4)))
    # unit vectors: products stay in range whatever the norms, and the margin is absolute
    slack = 2 * (width + 16) * 2.0**-23 + TOLERANCE
    for start in range(0, len(left), rows):
        a = torch.tensor(left[start : start + rows], device=device)
        a_norm = exact_scores(a, a).sqrt()
        a_unit = (a.double() / a_norm.clamp_min(1e-300)[:, None]).float()
        columns = max(1, min(8192, memory // (64 * len(a))))
        for first in range(0, len(right), columns):
            b = torch.tensor(right[first : first + columns], device=device)
            b_norm = exact_scores(b, b).sqrt()
            b_unit = (b.double() / b_norm.clamp_min(1e-300)[:, None]).float()
            lengths = a_norm[:, None] * b_norm[None, :]
            near = (a_unit @ b_unit.T).double() * lengths >= threshold - slack * lengths
            pairs = near.nonzero()
            for part in pairs.split(max(1, memory // (64 * (width + LANES)))):
                i, j = part[:, 0], part[:, 1]
                score = exact_scores(a[i], b[j])
                keep = score >= threshold - TOLERANCE * (a_norm[i] * b_norm[j])
                if keep.any():
                    yield (
                        (i[keep] + start).cpu().numpy(),
                        (j[keep] + first).cpu().numpy(),
                        score[keep].cpu().numpy(),
                    )
