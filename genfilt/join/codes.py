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
from typing import NamedTuple

import torch

LIMIT = 127  # of a code entry, a signed byte
SHARES = 2  # entries that hold one residual, which can be the longest number of a row
UNIT = 2.0**-24  # rounding of float32
NEVER = -(1 << 29)  # offset of padding, which no product lifts above zero


@dataclass(frozen=True)
class JoinSide:
    """One side of a join, measured."""

    count: int
    mean: torch.Tensor  # (D,) float32, any point near the middle
    length: float  # at least the length of every row
    spread: float  # at least the distance of every row from the mean


class Margins(NamedTuple):
    """What bounds the errors of one side's codes, in the units of its vectors."""

    step: float
    scale: float  # code units in one unit of a score
    unit: float  # error of a float32 product, in units of the two lengths
    rounding: float  # error of a rotated row, in units of the row's length plus its mean's
    cushion: float  # added to a squared residual, in units of that length squared
    partner: float  # at least the other side's coordinates, residuals and decoded coordinates
    own: float  # length of this side's mean
    other: float
    constant: float  # what the whole bound adds, carried by the right side


@dataclass(frozen=True)
class JoinPlan:
    """How both sides are coded for one threshold."""

    left: JoinSide
    right: JoinSide
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

    def margins(self, left: bool) -> Margins:
        """The numbers that bound the errors of one side's codes."""
        own, other = (self.left, self.right) if left else (self.right, self.left)
        step, other_step = self.steps if left else self.steps[::-1]
        width, count = self.directions.shape
        unit = (width + 8) * UNIT
        rounding = math.sqrt(count) * unit * 1.01
        cushion = 3 * unit + 2.1 * rounding + self.defect
        own_mean, other_mean = (float(side.mean.double().norm()) for side in (own, other))
        partner = other.spread + 0.5 * other_step * math.sqrt(count)
        partner += 2 * math.sqrt(cushion) * (other.length + other_mean)
        constant = 0.0
        if not left:
            constant = self.defect * own.spread * other.spread - self.threshold
            constant -= float(own.mean.double() @ other.mean.double())
        return Margins(
            step=step,
            scale=1 / (step * other_step),
            unit=unit,
            rounding=rounding,
            cushion=cushion,
            partner=partner,
            own=own_mean,
            other=other_mean,
            constant=constant,
        )

    def basis(self, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Directions and both means (D, k + 2), and what the own mean adds along the directions."""
        own, other = (self.left, self.right) if left else (self.right, self.left)
        shift = (own.mean.double() @ self.directions.double()).float()
        columns = [self.directions, own.mean[:, None], other.mean[:, None]]
        return torch.cat(columns, dim=1), torch.nn.functional.pad(shift, (0, 2))

    def to(self, device: torch.device) -> JoinPlan:
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


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: the bounds do not cover TF32 or bfloat16 inside a product."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def encode(rows: torch.Tensor, plan: JoinPlan, left: bool) -> Codes:
    """Code rows (n, D) float32 of one side of the plan."""
    margins, count = plan.margins(left), plan.directions.shape[1]
    basis, shift = plan.basis(left)
    with full_precision():
        x = rows @ basis - shift  # (n, k + 2)
    square = torch.linalg.vecdot(rows, rows).double()
    size = square.sqrt() * (1 + margins.unit) + margins.own
    centred = square - 2 * x[:, count].double() + margins.own**2
    linear = x[:, count + 1].double() + 2 * margins.unit * size * margins.other
    code = (x[:, :count] / margins.step).round_().clamp_(-LIMIT, LIMIT)
    wrong = (code * margins.step).sub_(x[:, :count]).square_()
    entries = torch.zeros(len(rows), plan.stops[-1], dtype=torch.int8, device=rows.device)
    share_unit = margins.step * math.sqrt(SHARES)
    explained, error2 = torch.zeros_like(size), torch.zeros_like(size)
    offsets, at, last, share = [], 0, 0, None
    for known, stop in zip(plan.known, plan.stops, strict=True):
        explained = explained + x[:, last:known].square().sum(1).double() * (1 - 1e-5)
        error2 = error2 + wrong[:, last:known].sum(1).double() * (1 + 1e-5)
        entries[:, at : at + known - last] = code[:, last:known]
        at += known - last
        if share is not None:
            entries[:, at : at + SHARES] = (-share if left else share)[:, None]
            at += SHARES
        residual = ((centred - explained).clamp_min(0) + margins.cushion * size.square()).sqrt()
        share = (residual / share_unit + 1e-6).ceil().clamp_max(LIMIT)
        entries[:, at : at + SHARES] = share[:, None]
        error = error2.sqrt() + (margins.rounding + 1e-6) * size
        error += (residual - LIMIT * share_unit).clamp_min(0)
        bound = linear + error * margins.partner + margins.constant
        offsets.append((bound * margins.scale).ceil() + 1)
        at, last = stop, known
    return Codes(entries, torch.stack(offsets).int())
