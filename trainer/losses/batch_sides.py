"""Rows of a batch as two sides that are contrasted and matched, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.distributed import first_row, gather
from trainer.losses.matching import draw_negatives, row_uniforms


@dataclass(frozen=True)
class BatchSide:
    """What each of B rows has on one side of a pair: one of U sequences, and an embedding.

    `tokens` are ids (U, L) of texts that read, or states (U, P, H) that are read; `mask` (U, L) or
    (U, P) tells which of them are real. Row i has sequence of_row[i] and embedding[i] (B, D).
    """

    tokens: Tensor
    mask: Tensor
    of_row: Tensor
    embedding: Tensor

    @classmethod
    def of(cls, tokens: Tensor, mask: Tensor, embedding: Tensor, row: Tensor) -> BatchSide:
        """Return the side of rows (B,) into U sequences and their embeddings (U, D)."""
        return cls(tokens, mask, row, embedding.float().index_select(0, row))

    def gathered(self) -> BatchSide:
        """Return the rows of all processes."""
        before = first_row(len(self.tokens), self.tokens.device)
        return BatchSide(
            gather(self.tokens),
            gather(self.mask),
            gather(self.of_row + before),
            gather(self.embedding),
        )


@dataclass(frozen=True)
class Place:
    """Where this process's rows stand among the gathered ones, and what seeds their draws."""

    first: int
    rows: int
    seed: int
    number: int  # of the batch

    @property
    def mine(self) -> slice:
        """This process's rows."""
        return slice(self.first, self.first + self.rows)

    def draw(
        self, name: str, similarity: Tensor, forbidden: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a hard column for each of this process's rows (B, G), and whether there is one."""
        uniform = row_uniforms(self.seed, self.number, name, self.first + self.rows)[self.first :]
        return draw_negatives(similarity, forbidden, temperature, uniform.to(similarity.device))


@dataclass(frozen=True)
class Negatives:
    """For each of this process's rows a pair with a drawn read side, then one with a drawn text.

    `text` and `read` (2B,) are rows of all processes; `found` (2B,) is False where nothing was
    left to draw.
    """

    text: Tensor
    read: Tensor
    found: Tensor

    @classmethod
    def drawn(
        cls,
        name: str,
        place: Place,
        every: tuple[BatchSide, BatchSide],
        positive: Tensor,
        temperature: Tensor,
    ) -> Negatives:
        """Draw hard negatives out of all rows.

        Args:
            name: tells the losses' draws apart.
            place: this process's rows.
            every: the text side and the read side of all rows.
            positive: (G, G) bool, text a and read side b; such a pair is never drawn.
            temperature: tau.
        """
        text, read = every
        mine = place.mine
        similar = text.embedding.detach() @ read.embedding.detach().T  # (G, G)
        other_read, has_read = place.draw(
            f"{name} read", similar[mine], positive[mine], temperature
        )
        other_text, has_text = place.draw(
            f"{name} text", similar[:, mine].T, positive[:, mine].T, temperature
        )
        own = torch.arange(mine.start, mine.stop, device=positive.device)
        return cls(
            text=torch.cat([own, other_text]),
            read=torch.cat([other_read, own]),
            found=torch.cat([has_read, has_text]),
        )
