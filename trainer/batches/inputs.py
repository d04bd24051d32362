"""A batch with its texts as tokens, on the model's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genfilt.common.arrays import Integers
from trainer.batches.reader import Batch
from trainer.database.catalogue import Catalogue


@dataclass(frozen=True)
class Inputs:
    """A batch on the model's device: B rows that show U distinct products.

    `images` is (U, 3, S, S), or (U, P, W) of a frozen tower. Stage 1 has no queries.
    """

    number: int
    products: Integers  # (B,)
    product_of_row: Tensor  # (B,) into U
    images: Tensor
    title_ids: Tensor  # (U, L)
    title_mask: Tensor
    queries: Integers | None = None  # (B,)
    query_ids: Tensor | None = None  # (B, L)
    query_mask: Tensor | None = None
    positive: Tensor | None = None  # (B,) bool, QMM's target


def inputs_of(
    batch: Batch,
    catalogue: Catalogue,
    tokenize: Callable[[list[str]], dict[str, Tensor]],
    device: torch.device,
) -> Inputs:
    """Return a batch with its texts as tokens, on the device."""
    title = tokenize(catalogue.texts(catalogue.titles, batch.products))
    inputs = Inputs(
        number=batch.number,
        products=batch.rows.product,
        product_of_row=torch.from_numpy(batch.product_of_row).to(device),
        images=batch.images.to(device),
        title_ids=title["input_ids"].to(device),
        title_mask=title["attention_mask"].to(device),
    )
    if (batch.rows.query < 0).any():
        return inputs
    query = tokenize(catalogue.texts(catalogue.queries, batch.rows.query))
    return replace(
        inputs,
        queries=batch.rows.query,
        query_ids=query["input_ids"].to(device),
        query_mask=query["attention_mask"].to(device),
        positive=torch.from_numpy(batch.rows.positive).to(device),
    )
