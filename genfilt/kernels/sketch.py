"""Short integer codes whose products bound the inner products of the vectors they stand for.

With m, m' the means of the two sides, a.b = (a - m).(b - m') + m.b + a.m' - m.m'; of the four terms
only the first is not one number for each row plus one for each column. With V the leading
principal directions, x = V'(a - m), y = V'(b - m') and r, r' the lengths of what V leaves out,
Cauchy and Schwarz give (a - m).(b - m') <= x.y + r r'. Rounding x to a code p with step s and y to
q with step t moves x.y by at most |x - s p| |y| + |s p| |y - t q|, which rows and columns can carry
apart again. So for every level, a prefix of the code, integers u of the row and v of the column
exist with

    a.b >= threshold - tolerance  implies  p.q + u + v >= 0,

where r and r' are entries of the code themselves, rounded up. Float32 products are taken with their
worst rounding error, whatever the order of summation (Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1); V is orthonormal up to a measured defect that enters the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from genfilt.kernels import Vectors

LIMIT = 127  # of a code entry, a signed byte
SHARES = 2  # entries that hold one residual, which can be the longest number of a row
UNIT = 2.0**-24  # rounding of float32
NEVER = -(1 << 29)  # offset of padding, which no product lifts above zero


@dataclass(frozen=True)
class Side:
    """One side of a join, measured."""

    count: int
    mean: torch.Tensor  # (D,) float32, any point near the middle
    length: float  # at least the length of every row
    spread: float  # at least the distance of every row from the mean


@dataclass(frozen=True)
class Plan:
    """How both sides are coded for one threshold."""

    left: Side
    right: Side
    directions: torch.Tensor  # (D, k) float32
    defect: float  # Frobenius norm of V'V - 1
    known: tuple[int, ...]  # directions used up to each level
    steps: tuple[float, float]  # what one unit of a code entry stands for, left and right
    centres: torch.Tensor  # (C, c) float32: rows near one centre become neighbours
    threshold: float  # less the tolerance

    @property
    def stops(self) -> tuple[int, ...]:
        """Code entries up to each level: directions, the residual, and the last one taken back."""
        stops, last = [0], 0
        for known in self.known:
            entries = known - last + SHARES * (2 if last else 1)
            stops.append(stops[-1] + -(-entries // 4) * 4)
            last = known
        return tuple(stops[1:])

    def to(self, device: torch.device) -> Plan:
        """The plan with its arrays on a device."""
        return replace(
            self,
            left=replace(self.left, mean=self.left.mean.to(device)),
            right=replace(self.right, mean=self.right.mean.to(device)),
            directions=self.directions.to(device),
            centres=self.centres.to(device),
        )


@dataclass(frozen=True)
class Codes:
    """Rows of one side, coded."""

    entries: torch.Tensor  # (n, stops[-1]) int8
    offsets: torch.Tensor  # (levels, n) int32
    groups: torch.Tensor  # (n,) int16, the nearest centre


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: the bounds do not cover TF32 or bfloat16 inside a product."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def as_tensor(vectors: Vectors) -> torch.Tensor:
    """The rows as a tensor, copied only where torch would warn that it could write to them."""
    return torch.from_numpy(vectors) if vectors.flags.writeable else torch.tensor(vectors)


def encode(rows: torch.Tensor, plan: Plan, left: bool) -> Codes:
    """Code rows (n, D) float32 of one side of the plan."""
    own, other = (plan.left, plan.right) if left else (plan.right, plan.left)
    step, other_step = plan.steps if left else plan.steps[::-1]
    width, count = plan.directions.shape
    unit = (width + 8) * UNIT  # of a float32 product of this width, in units of the two lengths
    rounding = math.sqrt(count) * unit * 1.01
    cushion = 3 * unit + 2.1 * rounding + plan.defect
    basis = torch.cat([plan.directions, own.mean[:, None], other.mean[:, None]], dim=1)
    with full_precision():
        products = rows @ basis  # (n, k + 2)
    square = torch.linalg.vecdot(rows, rows)
    x = products[:, :count] - (own.mean.double() @ plan.directions.double()).float()
    mean_length = float(own.mean.double().norm())
    size = square.double().sqrt() * (1 + unit) + mean_length
    centred = square.double() - 2 * products[:, count].double() + mean_length**2

    code = (x / step).round_().clamp_(-LIMIT, LIMIT)
    wrong = (code * step).sub_(x).square_()
    x2 = x.square()
    entries = torch.zeros(len(rows), plan.stops[-1], dtype=torch.int8, device=rows.device)
    # at least the length of the other side's coordinates, residual and decoded coordinates
    partner = other.spread + 0.5 * other_step * math.sqrt(count)
    partner += 2 * math.sqrt(cushion) * (other.length + float(other.mean.double().norm()))
    linear = products[:, count + 1].double() + 2 * unit * size * other.mean.double().norm()
    if not left:
        linear += plan.defect * own.spread * other.spread - plan.threshold
        linear -= own.mean.double() @ other.mean.double()
    explained, error2 = torch.zeros_like(size), torch.zeros_like(size)
    offsets, start, first, share = [], 0, 0, None
    for known, stop in zip(plan.known, plan.stops, strict=True):
        explained = explained + x2[:, first:known].sum(1).double() * (1 - 1e-5)
        error2 = error2 + wrong[:, first:known].sum(1).double() * (1 + 1e-5)
        residual = ((centred - explained).clamp_min(0) + cushion * size.square()).sqrt()
        entries[:, start : start + known - first] = code[:, first:known]
        start += known - first
        if share is not None:
            entries[:, start : start + SHARES] = (-share if left else share)[:, None]
            start += SHARES
        share = (residual / (step * math.sqrt(SHARES)) + 1e-6).ceil().clamp_max(LIMIT)
        over = (residual - LIMIT * step * math.sqrt(SHARES)).clamp_min(0)
        entries[:, start : start + SHARES] = share[:, None]
        error = error2.sqrt() + (rounding + 1e-6) * size + over
        offsets.append(((linear + error * partner) / (step * other_step)).ceil() + 1)
        start, first = stop, known
    return Codes(entries, torch.stack(offsets).int(), _nearest(x, plan.centres))


def _nearest(x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    near = x[:, : centres.shape[1]] @ centres.T
    near -= 0.5 * torch.linalg.vecdot(centres, centres)
    return near.argmax(1).short()
