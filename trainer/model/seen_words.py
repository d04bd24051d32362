"""Memory of the words that training has read, and of which texts hold another.

A word counts by its pieces: each piece with the one that goes on the word, the last with none. The
pairs are marked in a table of fixed size, so that a checkpoint of any catalogue has the same shape;
where two pairs share a place, an unseen word may pass for a seen one, never the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACES = 1 << 22  # of the table: 4 MB; 100,000 pairs of pieces fill 2 % of it
_FACTORS = (0x9E3779B1, 0x85EBCA6B)  # odd, of 32 bits: a pair's places spread over the table


class SeenWords(nn.Module):
    """A table of marks, kept with the weights.

    Args:
        goes_on: for each piece of the vocabulary (V,) whether it goes on a word.
        marks_nothing: pieces that stand for no word, such as [CLS] and padding.
    """

    marks: Tensor
    goes_on: Tensor
    no_word: Tensor

    def __init__(self, goes_on: Sequence[bool], marks_nothing: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("marks", torch.zeros(PLACES, dtype=torch.bool))
        self.register_buffer("goes_on", torch.tensor(goes_on), persistent=False)
        nothing = torch.zeros(len(goes_on), dtype=torch.bool)
        nothing[list(marks_nothing)] = True
        self.register_buffer("no_word", nothing, persistent=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> SeenWords:
        """Return an empty table for a tokenizer of word pieces."""
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
        return cls([piece.startswith("##") for piece in pieces], special)

    def add(self, ids: Tensor, mask: Tensor) -> None:
        """Mark the words of texts, ids (B, L) under mask (B, L)."""
        places, counted = self._places(ids, mask)
        self.marks[places[counted]] = True

    def unseen(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return for each text (B,), ids (B, L) under mask (B, L), whether it has a new word."""
        places, counted = self._places(ids, mask)
        return (counted & ~self.marks[places]).any(dim=1)

    def _places(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # A truncated text ends in [SEP], so the last column never begins a pair.
        after = ids[:, 1:]
        after = torch.where(self.goes_on[after] & mask[:, 1:].bool(), after, 0)
        mixed = ids[:, :-1] * _FACTORS[0] + after * _FACTORS[1]
        counted = mask[:, :-1].bool() & ~self.no_word[ids[:, :-1]]
        return (mixed ^ (mixed >> 15)) % PLACES, counted
