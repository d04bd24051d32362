"""Sequences without their padding: what is computed token by token is computed for real ones only.

Texts of one batch differ in length, and in a shop's queries and titles a third of a padded batch is
padding. Linear layers, norms and FFN run on the real tokens alone; attention alone needs rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class PackedLayout:
    """Where N real tokens stand in B rows of L places.

    `place` (N,) counts through (B, L) row by row, sorted; None where all places are real. `mask`
    (B, L) bool marks the same places, None likewise.
    """

    rows: int
    length: int
    mask: Tensor | None = None
    place: Tensor | None = None

    @classmethod
    def of(cls, mask: Tensor) -> PackedLayout:
        """Return the layout of a mask (B, L), whatever its kind of numbers."""
        real = mask.bool()
        rows, length = real.shape
        return cls(rows, length, real, real.flatten().nonzero()[:, 0])

    def pack(self, padded: Tensor) -> Tensor:
        """Return the real tokens (N, ...) of padded (B, L, ...)."""
        flat = padded.flatten(0, 1)
        return flat if self.place is None else flat.index_select(0, self.place)

    def pad(self, packed: Tensor) -> Tensor:
        """Return packed (N, ...) as (B, L, ...), zero where no token is."""
        if self.place is not None:
            empty = packed.new_zeros(self.rows * self.length, *packed.shape[1:])
            packed = empty.index_copy(0, self.place, packed)
        return packed.view(self.rows, self.length, *packed.shape[1:])

    @property
    def positions(self) -> Tensor | None:
        """The place (N,) of each token in its row."""
        return None if self.place is None else self.place % self.length

    def first(self) -> Tensor:
        """Return where each row's first token (B,) stands among the N; every row has one."""
        assert self.mask is not None
        sizes = self.mask.sum(dim=1)
        return sizes.cumsum(0) - sizes


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int, dropout: float
) -> Tensor:
    """Return the result (B, A, H) of multi-head attention.

    Args:
        query: (B, A, H).
        key: (B, L, H).
        value: (B, L, H).
        mask: (B, L) bool, what may be read; None for all.
        heads: how many; they divide H.
        dropout: its rate, 0 outside of training.
    """
    query, key, value = (
        x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value)
    )
    allowed = None if mask is None else mask[:, None, None, :]
    read: Tensor
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # The backward pass of CPU attention in bfloat16 is slower than all other work of a step
        # together (torch 2.13); in float32 it is a few per cent of it.
        with torch.autocast("cpu", enabled=False):
            read = functional.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), allowed, dropout
            )
    else:
        read = functional.scaled_dot_product_attention(query, key, value, allowed, dropout)
    return read.transpose(1, 2).flatten(2)
