"""The join in plain torch, the same code for every device."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from genfilt.common.arrays import Vectors
from genfilt.join.codes import Codes, JoinPlan, encode, full_precision
from genfilt.join.pairs import LANES, TOLERANCE, Batch

LARGEST = 1 << 14  # rows of a block
PIECE = 1 << 21  # numbers that a CPU scores at once: they stay in its cache


def exact_scores(
    left: torch.Tensor,  # (P, D) float32
    right: torch.Tensor,  # (P, D) float32
) -> torch.Tensor:  # (P,) float64
    """Inner products row by row in float64, summed in an order that no device can change.

    A product of two float32 is exact in float64, so only the order of the sum matters: element d
    goes to lane d mod 16, lanes grow in order of d, and then fold in halves.
    """
    padding = (0, -left.shape[1] % LANES)
    products = torch.nn.functional.pad(left.double() * right.double(), padding)
    products = products.view(len(left), -1, LANES)
    lanes = torch.zeros_like(products[:, 0])
    for step in range(products.shape[1]):
        lanes += products[:, step]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def plain_join(
    vectors: tuple[Vectors, Vectors], threshold: float, device: torch.device, memory: int
) -> Iterator[Batch]:
    """Blocks of a float32 product of unit rows, with a margin for its rounding; any lengths."""
    width = vectors[0].shape[1]
    rows = max(1, min(LARGEST, memory // (64 * width), int((memory / 64) ** 0.5)))
    slack = 2 * (width + 16) * 2.0**-23 + TOLERANCE
    for start, a in _blocks(vectors[0], rows, device):
        a_length = exact_scores(a, a).sqrt()
        a_unit = (a.double() / a_length.clamp_min(1e-300)[:, None]).float()
        for first, b in _blocks(vectors[1], rows, device):
            b_length = exact_scores(b, b).sqrt()
            b_unit = (b.double() / b_length.clamp_min(1e-300)[:, None]).float()
            lengths = a_length[:, None] * b_length
            with full_precision():
                near = (a_unit @ b_unit.T).double()
            pairs = (near * lengths >= threshold - slack * lengths).nonzero()
            yield from _kept(a, b, pairs, (start, first), threshold, memory)


def coded_join(
    vectors: tuple[Vectors, Vectors],
    plan: JoinPlan,
    threshold: float,
    device: torch.device,
    memory: int,
) -> Iterator[Batch]:
    """Blocks of a product of the codes of one level, whose integers no rounding touches."""
    width = vectors[0].shape[1]
    plan = plan.to(device)
    rows = max(1, min(LARGEST, memory // (64 * width), int((memory / 32) ** 0.5)))
    for start, a in _blocks(vectors[0], rows, device):
        left = encode(a, plan, True)
        for first, b in _blocks(vectors[1], rows, device):
            pairs = (_bounds(left, encode(b, plan, False)) >= 0).nonzero()
            yield from _kept(a, b, pairs, (start, first), threshold, memory)


def _bounds(left: Codes, right: Codes) -> torch.Tensor:
    """The last level's bound of every pair, in units of the two steps; never below the true one."""
    a, b = left.entries, right.entries
    if a.device.type == "cuda":
        # tensor cores may drop bits of a sum below its 24th: the margin covers each addition
        product = torch.mm(a.bfloat16(), b.bfloat16().T, out_dtype=torch.float32)
        product += a.shape[1] ** 2 * 127.0**2 * 2.0**-22
    else:
        product = a.float() @ b.float().T
    return product.add_(left.offsets[-1].float()[:, None]).add_(right.offsets[-1].float())


def _blocks(
    vectors: Vectors, rows: int, device: torch.device
) -> Iterator[tuple[int, torch.Tensor]]:
    for start in range(0, len(vectors), rows):
        yield start, torch.tensor(vectors[start : start + rows], device=device)


def _kept(
    a: torch.Tensor,
    b: torch.Tensor,
    pairs: torch.Tensor,  # (P, 2)
    starts: tuple[int, int],
    threshold: float,
    memory: int,
) -> Iterator[Batch]:
    """The pairs whose exact score passes, in pieces that fit the memory."""
    numbers = min(PIECE, memory // 64) if a.device.type == "cpu" else memory // 128
    size = max(1, numbers // (a.shape[1] + LANES))
    for at in range(0, len(pairs), size):
        part = pairs[at : at + size]
        left, right = a[part[:, 0]], b[part[:, 1]]
        score = exact_scores(left, right)
        lengths = exact_scores(left, left).sqrt() * exact_scores(right, right).sqrt()
        keep = score >= threshold - TOLERANCE * lengths
        if keep.any():
            i, j = (part[keep] + torch.tensor(starts, device=part.device)).T
            yield i.cpu().numpy(), j.cpu().numpy(), score[keep].cpu().numpy()
