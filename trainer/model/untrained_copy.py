"""The pretrained encoder as it came, frozen beside the trained one.

Training on a shop's words makes the encoder forget what it knew of others. A copy that never learns
keeps it: its unit vector of a text stands beside the trained one's, so that the score is the sum of
both cosines, weighted, and still one inner product of two towers. A query decides the weights: the
copy has a say where a word is new to training. Training itself does without.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import ModelConfig
from trainer.model.encoder import load_bert

if TYPE_CHECKING:
    from transformers import BertModel


HALF = math.sqrt(0.5)  # a product's weight of both vectors, whose squares add up to 1


class UntrainedCopy(nn.Module):
    """A frozen BERT with all its layers; its vector of a text is the mean of its last states.

    Args:
        bert: the checkpoint.
        share: of the copy in the score of a query with a word that training never read.
        share_of_seen: the same of all other queries.
    """

    def __init__(self, bert: BertModel, share: float, share_of_seen: float = 0.0) -> None:
        super().__init__()
        self.bert = bert.eval().requires_grad_(False)  # type: ignore[no-untyped-call]
        self.share, self.share_of_seen = share, share_of_seen
        self._last: tuple[Tensor, Tensor] | None = None

    @property
    def width(self) -> int:
        """H, the width of its vectors."""
        width: int = self.bert.config.hidden_size
        return width

    def train(self, mode: bool = True) -> UntrainedCopy:
        """Stay in eval mode whatever the model around it does."""
        return super().train(False)

    def beside_queries(
        self, embedding: Tensor, ids: Tensor, mask: Tensor, unseen: Tensor
    ) -> Tensor:
        """Return unit vectors (B, D + H) of queries, of which `unseen` (B,) have a new word.

        The inner product with a product's vector is, up to a factor of the query, (1 - share)
        times that of the embeddings (B, D) plus share times the copy's cosine.
        """
        share = torch.where(unseen, self.share, self.share_of_seen).unsqueeze(1).to(embedding)
        length = (share**2 + (1 - share) ** 2).sqrt()
        known = self.vectors(ids, mask).to(embedding)
        return torch.cat([(1 - share) / length * embedding, share / length * known], dim=1)

    def beside_products(self, embedding: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors (B, D + H) of titles: embedding (B, D) and the copy's, as one."""
        known = self.vectors(ids, mask).to(embedding)
        return torch.cat([embedding, known], dim=1) * HALF

    def without(self, embedding: Tensor) -> Tensor:
        """Return embedding (B, D) with zeros (B, H) where a text has the copy's vector."""
        return functional.pad(embedding, (0, self.width))

    @torch.no_grad()
    def vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the copy's own unit vectors (B, H) of ids (B, L) under mask (B, L)."""
        # A title is encoded for T and for M from the same tensor.
        if self._last is not None and self._last[0] is ids:
            return self._last[1]
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).to(states.dtype)
        vectors = functional.normalize((states * weight).sum(1) / weight.sum(1), dim=-1)
        self._last = (ids, vectors)
        return vectors


def load_untrained_copy(config: ModelConfig) -> UntrainedCopy | None:
    """Return the frozen copy of the checkpoint that config names; None where its share is 0.

    Raises:
        UserError: the checkpoint cannot be read whole.
    """
    if not config.untrained_share:
        return None
    bert = load_bert(replace(config, bert_layers=None))
    return UntrainedCopy(bert, config.untrained_share, config.untrained_share_of_seen)
