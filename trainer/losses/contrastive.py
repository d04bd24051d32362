"""Supervised contrastive losses over a positive mask (paper, eq. 1 and 2; one of our own)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_rows(
    rows: Tensor,
    columns: Tensor,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each row's loss and which rows count (eq. 2, before the mean over i).

    A row's loss is -1/|P(i)| sum_{p in P(i)} log(exp(r_i.c_p/tau) / sum_j exp(r_i.c_j/tau)).
    A row without positives has nothing to be pulled to: its loss is 0 and it does not count.

    Args:
        rows: (B, D), unit vectors.
        columns: (G, D), unit vectors of the gathered batch.
        positive: (B, G) bool, P(i) as a mask.
        temperature: tau, a scalar.
        ignored: (B, G) bool, columns j that leave the sum of a row; a positive one stays.

    Returns:
        Losses (B,) in float32 or wider, and counted (B,) bool.
    """
    size = positive.sum(dim=1)  # (B,) |P(i)|
    logits = _logits(rows, columns, temperature)
    if ignored is not None:  # a row that does not count keeps its columns: no softmax of nothing
        logits = logits.masked_fill(ignored & ~positive & (size > 0)[:, None], -torch.inf)
    log_share = logits.log_softmax(dim=1)  # (B, G)
    pulled = torch.where(positive, log_share, 0.0).sum(dim=1)
    return -pulled / size.clamp(min=1), size > 0


def separate_positives(
    rows: Tensor,
    columns: Tensor,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
) -> Tensor:
    """Return a scalar: each positive of a row against the row's negatives alone.

    In eq. 2 all positives of a row share one softmax: none can have more than 1/|P(i)|, and a
    strong one is pushed down for the others' sake. Here they do not compete:
    -1/|P(i)| sum_{p in P(i)} log(exp(r_i.c_p/tau) / (exp(r_i.c_p/tau) + sum_{j not in P(i)}
    exp(r_i.c_j/tau))), the mean over rows that count. With one positive a row it is eq. 2. This
    loss is not in the paper.

    Args:
        rows: (B, D), unit vectors.
        columns: (G, D), unit vectors of the gathered batch.
        positive: (B, G) bool, P(i) as a mask.
        temperature: tau, a scalar.
        ignored: (B, G) bool, columns j that are not counted among a row's negatives.
    """
    logits = _logits(rows, columns, temperature)
    negatives = _negatives(logits, positive, ignored).logsumexp(dim=1, keepdim=True)
    losses = torch.where(positive, functional.softplus(negatives - logits), 0.0)
    size = positive.sum(dim=1)
    return mean_over_counted(losses.sum(dim=1) / size.clamp(min=1), size > 0)


def cross_query_pairs(
    rows: Tensor,
    columns: Tensor,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
) -> Tensor:
    """Return the loss of each positive pair against the negatives of all rows.

    Eq. 2 sets a row's positives against that row's own columns, so a score need not mean the same
    for two queries. Here a positive pair stands against every negative pair of the batch, and all
    positive pairs count alike, as in the AUC over all pairs:
    -log(exp(r_i.c_p/tau) / (exp(r_i.c_p/tau) + sum_a sum_{b not in P(a)} exp(r_a.c_b/tau))).
    This loss is not in the paper.

    Args:
        rows: (G, D), unit vectors of the gathered batch.
        columns: (G, D), unit vectors of the gathered batch.
        positive: (G, G) bool, P(i) as a mask.
        temperature: tau, a scalar.
        ignored: (G, G) bool, pairs that are not counted among the negatives.

    Returns:
        Losses (G, G) in float32 or wider, of which those of positive pairs count.
    """
    logits = _logits(rows, columns, temperature)
    negatives = _negatives(logits, positive, ignored).flatten().logsumexp(dim=0)
    return functional.softplus(negatives - logits)


def _logits(rows: Tensor, columns: Tensor, temperature: Tensor | float) -> Tensor:
    wide = torch.promote_types(rows.dtype, torch.float32)
    with torch.autocast(rows.device.type, enabled=False):  # half-precision logits are too coarse
        return rows.to(wide) @ columns.to(wide).T / temperature


def _negatives(logits: Tensor, positive: Tensor, ignored: Tensor | None) -> Tensor:
    """Return the logits of negatives, -inf where a pair is positive or ignored."""
    left_out = positive if ignored is None else positive | ignored
    return logits.masked_fill(left_out, -torch.inf)


def mean_over_counted(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of values where counted (bool) holds; 0, with a gradient, where none."""
    kept = torch.where(counted, values, 0.0)
    return kept.sum() / counted.sum().clamp(min=1)


def contrastive(
    rows: Tensor,
    columns: Tensor,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
) -> Tensor:
    """Return eq. 2 as a scalar: the mean of `contrastive_rows` over the rows that count."""
    return mean_over_counted(*contrastive_rows(rows, columns, positive, temperature, ignored))


def image_text_contrastive(
    images: Tensor, titles: Tensor, positive: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return eq. 1 as a scalar: eq. 2 from images (B, D) to titles (G, D) and back, halved.

    positive (B, G) bool holds image a and title b.
    """
    there = contrastive(images, titles, positive, temperature)
    back = contrastive(titles, images, positive.T, temperature)
    return (there + back) / 2
