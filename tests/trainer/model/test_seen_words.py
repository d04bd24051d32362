"""Words that training has read: what counts as seen, and that marks survive with the weights."""

from __future__ import annotations

import pytest
import torch

from trainer.config import ModelConfig
from trainer.model.encoder import load_tokenizer
from trainer.model.seen_words import SeenWords

Ids = tuple[torch.Tensor, torch.Tensor]
TOKENIZER = load_tokenizer(ModelConfig())


def ids(*texts: str, length: int = 32) -> Ids:
    made = TOKENIZER(
        list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
    )
    return made["input_ids"], made["attention_mask"]


@pytest.fixture
def words() -> SeenWords:
    seen = SeenWords.of(TOKENIZER)
    seen.add(*ids("red woollen coats", "a shoe by Norvikka"))
    return seen


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        ("red shoe", False),
        ("coats by norvikka", False),
        ("red hat", True),
        ("norvi", True),  # the pieces of a seen word, but another end
        ("norvikkas", True),
        ("", False),
    ],
)
def test_a_word_is_seen_whole(words: SeenWords, text: str, unseen: bool) -> None:
    assert words.unseen(*ids(text)).tolist() == [unseen]


def test_padding_decides_nothing(words: SeenWords) -> None:
    assert words.unseen(*ids("red", "a shoe by norvikka", "hat")).tolist() == [False, False, True]


def test_marks_are_of_one_shape_and_load_with_the_weights(words: SeenWords) -> None:
    state = words.state_dict()
    assert list(state) == ["marks"]
    fresh = SeenWords.of(TOKENIZER)
    assert fresh.unseen(*ids("red shoe")).tolist() == [True]
    fresh.load_state_dict(state)
    assert fresh.unseen(*ids("red shoe")).tolist() == [False]


def test_few_of_many_unseen_words_pass_for_seen(words: SeenWords) -> None:
    vocabulary = [piece for piece in TOKENIZER.get_vocab() if piece.isalpha()]
    words.add(*ids(*vocabulary[:10000]))
    left = words.unseen(*ids(*vocabulary[10000:20000]))
    assert left.float().mean() > 0.99
