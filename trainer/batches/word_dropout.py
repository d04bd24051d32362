"""Replacement of words of a training batch, so that a text is not learned by single words."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

SPECIAL_TOKENS = 1000  # numbers below are of special and unused tokens, in BERT's vocabularies

Replacement = Literal["unknown", "random"]


def drop_words(
    ids: Tensor, rate: float, unknown: int, words: int, generator: torch.Generator
) -> Tensor:
    """Return ids (B, L) with each word's token replaced with probability `rate`.

    Args:
        ids: (B, L); special tokens stay.
        rate: the probability, from 0 to below 1.
        unknown: the number of the unknown word.
        words: the size of the vocabulary of which replacements are drawn; 0 for the unknown word.
        generator: decides which and by what.
    """
    chosen = torch.rand(ids.shape, generator=generator) < rate
    other = torch.full_like(ids, unknown)
    if words:
        other = torch.randint(SPECIAL_TOKENS, words, ids.shape, generator=generator)
    return torch.where(chosen & (ids >= SPECIAL_TOKENS), other, ids)
