"""The two sides of the pairs that a batch contrasts and matches, over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.distributed import first_row, gather, processes
from trainer.losses.matching import draw_negatives, row_uniforms


@dataclass(frozen=True)
class BatchSide:
    """One side of B pairs: row i has one of U token sequences, and an embedding.

    `tokens` are ids (U, L) of texts that read, or states (U, P, H) that are read; `mask` (U, L) or
    (U, P) marks the real ones. Row i has sequence of_row[i] and embedding[i] (B, D).
    """

    tokens: Tensor
    mask: Tensor
    of_row: Tensor
    embedding: Tensor
    begun: Tensor | None = None  # (U, L, H), texts' states that every pass of them shares

    @classmethod
    def of(
        cls,
        tokens: Tensor,
        mask: Tensor,
        embedding: Tensor,
        row: Tensor,
        begun: Tensor | None = None,
    ) -> BatchSide:
        """Return the side of rows (B,) into U sequences and their embeddings (U, D)."""
        return cls(tokens, mask, row, embedding.float().index_select(0, row), begun)

    def begun_at(self, sequences: Tensor) -> Tensor | None:
        """Return the shared states of sequences (N,), None where there are none."""
        return None if self.begun is None else self.begun.index_select(0, sequences)

    def gathered(self) -> BatchSide:
        """Return the rows of all processes; states are not sent, so that each begins texts anew."""
        if processes()[1] == 1:
            return self
        before = first_row(len(self.tokens), self.tokens.device)
        return BatchSide(
            gather(self.tokens),
            gather(self.mask),
            gather(self.of_row + before),
            gather(self.embedding),
        )


@dataclass(frozen=True)
class OwnRows:
    """Which of all processes' rows are this process's, and what seeds their draws."""

    first: int
    count: int
    seed: int
    batch: int  # its number

    @property
    def slice(self) -> slice:
        """This process's rows among all."""
        return slice(self.first, self.first + self.count)

    def draw(
        self, name: str, similarity: Tensor, forbidden: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a hard column for each own row of (B, G), and whether there is one."""
        uniform = row_uniforms(self.seed, self.batch, name, self.first + self.count)[self.first :]
        return draw_negatives(similarity, forbidden, temperature, uniform.to(similarity.device))


@dataclass(frozen=True)
class HardNegatives:
    """For each own row a pair with another read side, then for each one with another text.

    `text` and `read` (2B,) are rows of all processes; `found` (2B,) is False where nothing was
    left to draw.
    """

    text: Tensor
    read: Tensor
    found: Tensor

    @classmethod
    def draw(
        cls,
        name: str,
        own: OwnRows,
        sides: tuple[BatchSide, BatchSide],
        positive: Tensor,
        temperature: Tensor,
    ) -> HardNegatives:
        """Draw hard negatives out of all rows.

        Args:
            name: of the loss, part of the seed, so that losses draw independently.
            own: this process's rows.
            sides: the text side and the read side of all rows.
            positive: (G, G) bool, text a and read side b; such a pair is never drawn.
            temperature: tau.
        """
        text, read = sides
        rows = own.slice
        with torch.autocast(positive.device.type, enabled=False):
            similar = text.embedding.detach() @ read.embedding.detach().T  # (G, G)
        other_read, has_read = own.draw(f"{name} read", similar[rows], positive[rows], temperature)
        other_text, has_text = own.draw(
            f"{name} text", similar[:, rows].T, positive[:, rows].T, temperature
        )
        same = torch.arange(rows.start, rows.stop, device=positive.device)
        return cls(
            text=torch.cat([same, other_text]),
            read=torch.cat([other_read, same]),
            found=torch.cat([has_read, has_text]),
        )
