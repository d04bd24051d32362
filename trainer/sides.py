"""Rows of a batch as two sides that are contrasted and matched, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.distributed import gather
from trainer.losses.matching import draw_negatives, row_uniforms


@dataclass(frozen=True)
class Side:
    """What each row has on one side of a pair: a sequence and its embedding (B, D).

    `tokens` are ids (B, L) of a text that reads, or states (B, P, H) that are read; `mask` (B, L)
    or (B, P) tells which of them are real.
    """

    tokens: Tensor
    mask: Tensor
    embedding: Tensor

    def at(self, rows: Tensor) -> Side:
        """Return the side of rows (N,)."""
        return Side(self.tokens[rows], self.mask[rows], self.embedding[rows])

    def gathered(self) -> Side:
        """Return the rows of all processes."""
        return Side(gather(self.tokens), gather(self.mask), gather(self.embedding))


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
class Pairs:
    """Each row's own pair, then one with a drawn read side, then one with a drawn text side."""

    text: Side  # (3B)
    read: Side  # (3B)
    counted: Tensor  # (3B,) bool; False where nothing was left to draw

    @classmethod
    def drawn(
        cls,
        name: str,
        place: Place,
        every: tuple[Side, Side],
        positive: Tensor,
        temperature: Tensor,
    ) -> Pairs:
        """Pair this process's rows with hard negatives out of all rows.

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
            text=text.at(torch.cat([own, own, other_text])),
            read=read.at(torch.cat([own, other_read, own])),
            counted=torch.cat([torch.ones_like(has_read), has_read, has_text]),
        )
