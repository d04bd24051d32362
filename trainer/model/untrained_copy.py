"""The pretrained encoder as it came, frozen beside the trained one.

Training on a shop's words makes the encoder forget what it knew of others. A copy that never learns
keeps it: its unit vector of a text stands beside the trained one's, so that the score is the sum of
both cosines, weighted, and still one inner product of two towers.
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


class UntrainedCopy(nn.Module):
    """A frozen BERT with all its layers; its vector of a text is the mean of its last states.

    Args:
        bert: the checkpoint.
        share: of the copy's cosine in the score of two texts, above 0 and below 1.
    """

    def __init__(self, bert: BertModel, share: float) -> None:
        super().__init__()
        self.bert = bert.eval().requires_grad_(False)  # type: ignore[no-untyped-call]
        self.share = share
        self._last: tuple[Tensor, Tensor] | None = None

    @property
    def width(self) -> int:
        """H, the width of its vectors."""
        width: int = self.bert.config.hidden_size
        return width

    def train(self, mode: bool = True) -> UntrainedCopy:
        """Stay in eval mode whatever the model around it does."""
        return super().train(False)

    def beside(self, embedding: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors (B, D + H): embedding (B, D) and the copy's of ids (B, L), weighted.

        Of two such vectors the inner product is (1 - share) times that of the embeddings plus
        share times the copy's cosine.
        """
        known = self.vectors(ids, mask)
        own, other = math.sqrt(1 - self.share), math.sqrt(self.share)
        return torch.cat([own * embedding, other * known.to(embedding)], dim=1)

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
    return UntrainedCopy(load_bert(replace(config, bert_layers=None)), config.untrained_share)
