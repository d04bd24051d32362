"""Replaced words: how many, which tokens stay, what stands in for them."""

from __future__ import annotations

import torch

from trainer.batches.word_dropout import SPECIAL_TOKENS, drop_words

UNKNOWN, WORDS = 100, 30522


def texts() -> torch.Tensor:
    ids = torch.arange(2000, 2000 + 500 * 20).view(500, 20)
    ids[:, 0], ids[:, -2], ids[:, -1] = 101, 102, 0
    return ids


def drop(rate: float, words: int, seed: int = 0) -> torch.Tensor:
    return drop_words(texts(), rate, UNKNOWN, words, torch.Generator().manual_seed(seed))


def test_words_are_replaced_at_the_rate_and_special_tokens_never() -> None:
    for words in (0, WORDS):
        made, given = drop(0.2, words), texts()
        special = given < SPECIAL_TOKENS
        assert torch.equal(made[special], given[special])
        changed = (made != given)[~special].float().mean()
        assert 0.18 < changed < 0.22
    other = made[made != given]
    assert other.min() >= SPECIAL_TOKENS
    assert other.max() < WORDS
    assert len(other.unique()) > 1000
    assert set(drop(0.2, 0)[drop(0.2, 0) != given].tolist()) == {UNKNOWN}


def test_the_seed_decides() -> None:
    assert torch.equal(drop(0.3, WORDS), drop(0.3, WORDS))
    assert not torch.equal(drop(0.3, WORDS), drop(0.3, WORDS, seed=1))
    assert torch.equal(drop(0.0, WORDS), texts())
