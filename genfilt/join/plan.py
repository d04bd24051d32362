"""The choice of a plan: directions, levels and steps, from a sample of both sides.

Nothing here can make an answer wrong; it only decides how many pairs are left to be scored exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from genfilt.common.arrays import Vectors
from genfilt.join import cpu_loops
from genfilt.join.codes import SHARES, JoinPlan, JoinSide, full_precision

SAMPLE = 1024  # rows of each side
PAIRED = 512  # of them, to count pairs
CHOICES = (14, 22, 30, 46, 62, 94, 126, 190, 254, 382, 510, 766, 1022)
NEIGHBOURS = 64  # pairs of a tile of 384 that pass or fail as one, sorted by centre, are about 6


@dataclass(frozen=True)
class Costs:
    """What a device takes for each part of the work, up to a common factor.

    Attributes:
        entry: a pair's product with one code entry.
        level: a level's own work for a pair.
        exact: an exact score.
        rotate: a row's product with one direction, for each dimension.
    """

    entry: float
    level: float
    exact: float
    rotate: float


CPU = Costs(1 / 64, 0.25, 250.0, 1 / 24)  # cycles of one core, measured
# Passes over a block of bounds. Estimated from an H100's bandwidth, not measured: tensor cores
# multiply entries nearly for nothing, and gathering two rows for an exact score takes long.
ACCELERATOR = Costs(3e-4, 1.0, 2500.0, 1e-2)


def make_plan(
    vectors: tuple[Vectors, Vectors],
    sides: tuple[JoinSide, JoinSide],
    threshold: float,
    levels: int,
    known: tuple[int, ...] | None = None,
    costs: Costs = CPU,
) -> JoinPlan:
    """Plan for at most this many levels, or for the given ones.

    threshold is the least score that must survive.
    """
    samples = [_sample(side) for side in vectors]
    centred = [rows - side.mean for rows, side in zip(samples, sides, strict=True)]
    with full_precision():
        scatter = sum(
            (part.T / max(len(part) * side.spread**2, 1e-30)) @ part
            for part, side in zip(centred, sides, strict=True)
        )
        directions = torch.linalg.eigh(scatter).eigenvectors.flip(1)
        x, y = (part @ directions for part in centred)
        linear = (samples[0] - sides[0].mean) @ sides[1].mean
        columns = samples[1] @ sides[0].mean
        rest = linear[:, None] + columns - threshold
        sizes = (len(vectors[0]), len(vectors[1]))
        known = known or _levels(x, y, rest, sizes, levels, costs)
    kept = directions[:, : known[-1]].contiguous()
    gram = kept.double().T @ kept.double()
    steps = tuple(_step(part, known, side) for part, side in zip((x, y), sides, strict=True))
    return JoinPlan(
        left=sides[0],
        right=sides[1],
        directions=kept,
        defect=float((gram - torch.eye(known[-1], dtype=torch.float64)).norm()) + 1e-12,
        known=known,
        steps=(steps[0], steps[1]),
        centres=_centres(x[:, : known[0]], y[:, : known[0]], len(vectors[0]) + len(vectors[1])),
        threshold=threshold,
    )


def measure(vectors: Vectors) -> JoinSide:
    """Mean and lengths of one side (C-contiguous); infinite lengths where a row is not finite."""
    threads = torch.get_num_threads()
    mean = _sample(vectors).mean(0)
    if not mean.isfinite().all():
        return JoinSide(len(vectors), mean, math.inf, math.inf)
    address, width, middle = vectors.ctypes.data, vectors.shape[1], mean.numpy()
    mean2 = float(mean.double() @ mean.double())
    share = -(-len(vectors) // threads)

    def work(first: int) -> tuple[float, float]:
        rows = (first, min(first + share, len(vectors)))
        found: tuple[float, float] = cpu_loops.lengths(address, width, rows, middle, mean2)
        return found

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, range(0, len(vectors), share)))
    length, spread = (math.sqrt(max(0.0, *part, 0.0)) for part in zip(*parts, strict=True))
    return JoinSide(len(vectors), mean, length * (1 + 1e-9), spread + 1e-7 * (length + mean2**0.5))


def _sample(vectors: Vectors) -> torch.Tensor:
    if len(vectors) <= SAMPLE:
        return torch.tensor(np.asarray(vectors))
    picked = np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=False)
    return torch.from_numpy(np.asarray(vectors[np.sort(picked)]))


def _step(x: torch.Tensor, known: Sequence[int], side: JoinSide) -> float:
    """Unit of a side's code: a rare longer entry is clipped, which only widens its row's bound."""
    largest = x[:, : known[-1]].abs().amax(1)
    residual = x[:, known[0] :].norm(dim=1).amax() / math.sqrt(SHARES)
    longest = max(float(largest.quantile(0.999)), float(residual))
    return float(np.float32(max(longest / 126, 2e-3 * side.length)))


def _levels(
    x: torch.Tensor,  # (S, D)
    y: torch.Tensor,  # (T, D)
    rest: torch.Tensor,  # (S, T): what the bound adds to x.y, less the threshold
    counts: tuple[int, int],
    most: int,
    costs: Costs,
) -> tuple[int, ...]:
    """The levels with the least expected work, by the share of sampled pairs that passes each."""
    x, y, rest = x[:PAIRED], y[:PAIRED], rest[:PAIRED, :PAIRED].clone()
    width = x.shape[1]
    choices = [known for known in CHOICES if known < width] + [width]
    passing, last = {}, 0
    for known in choices:
        rest += x[:, last:known] @ y[:, last:known].T
        tails = torch.outer(x[:, known:].norm(dim=1), y[:, known:].norm(dim=1))
        slack = 1.2 * math.sqrt(known / 12) / 126
        slack *= float(x.abs().max() * y.norm(dim=1).max() + y.abs().max() * x.norm(dim=1).max())
        passing[known] = float((rest + tails >= -slack).float().mean()) + 1e-7
        last = known
    pairs, rows = float(counts[0]) * counts[1], sum(counts)

    def work(levels: tuple[int, ...]) -> float:
        total, share, last = rows * width * levels[-1] * costs.rotate, 1.0, 0
        for known in levels:
            total += pairs * share * ((known - last + 2 * SHARES) * costs.entry + costs.level)
            share, last = 1 - math.exp(-NEIGHBOURS * passing[known]), known
        return total + pairs * passing[levels[-1]] * costs.exact

    options = itertools.chain.from_iterable(
        itertools.combinations(choices, count) for count in range(1, most + 1)
    )
    return min(options, key=work)


def _centres(x: torch.Tensor, y: torch.Tensor, rows: int) -> torch.Tensor:
    """K-means over both sides' first directions: a few rounds, since it decides the order alone."""
    points = torch.cat([x, y])
    count = min(max(1, rows // 512), 128, len(points))
    picks = torch.linspace(0, len(points) - 1, count).long()
    centres = points[picks].clone()
    for _ in range(4):
        near = points @ centres.T - 0.5 * torch.linalg.vecdot(centres, centres)
        group = near.argmax(1)
        sizes = torch.bincount(group, minlength=count).clamp_min(1)
        centres = torch.zeros_like(centres).index_add_(0, group, points) / sizes[:, None]
    return centres
