"""Two-class matching loss and the hard negatives that it is trained on (paper, eq. 3)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def matching_rows(logits: Tensor, target: Tensor) -> Tensor:
    """Return each pair's cross entropy (N,) of logits (N, 2) and target (N,) in {0, 1}."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), target.long(), reduction="none")


def draw_negatives(
    similarity: Tensor, forbidden: Tensor, temperature: Tensor | float, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw one column a row with p proportional to exp(s / tau) among those not forbidden.

    Inverse-CDF sampling in float64. The largest allowed weight is scaled to 1, so the total never
    underflows, and a forbidden column has weight exactly 0: it adds no width to the CDF.

    Args:
        similarity: (B, G); no gradient passes.
        forbidden: (B, G) bool.
        temperature: tau.
        uniform: (B,) in [0, 1), one number a row.

    Returns:
        Columns (B,) int64 and found (B,) bool; where a row has nothing left to draw, found is
        False and the column is 0.
    """
    if similarity.shape[1] == 0:
        nothing = forbidden.new_zeros(len(forbidden))
        return nothing.long(), nothing
    found = ~forbidden.all(dim=1)
    logits = similarity.detach().double().div(temperature).masked_fill(forbidden, -torch.inf)
    top = torch.where(found, logits.amax(dim=1), 0.0)
    cdf = (logits - top[:, None]).exp().cumsum(dim=1)  # (B, G)
    aim = uniform.double() * cdf[:, -1]
    drawn = torch.searchsorted(cdf, aim[:, None], right=True).clamp(max=similarity.shape[1] - 1)
    # A rounded sum can point past the total or, on a device that sums in blocks, at a column of
    # weight 0: the likeliest column stands in.
    likeliest = logits.argmax(dim=1, keepdim=True)
    chosen = torch.where(forbidden.gather(1, drawn), likeliest, drawn)[:, 0]
    return torch.where(found, chosen, 0), found


def row_uniforms(seed: int, step: int, side: str, rows: int) -> Tensor:
    """Return one number in [0, 1) a row of the gathered batch, the same in every process.

    It depends on (seed, step, side, row) alone, so a resumed run and a run on more processes draw
    what one uninterrupted process draws.
    """
    key = (seed, step, *side.encode())
    return torch.from_numpy(np.random.default_rng(key).random(rows))
