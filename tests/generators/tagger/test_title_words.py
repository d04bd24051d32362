"""Wordpieces, the words that they belong to, and the words' case."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genfilt.generators.tagger.title_words import CASES, MAX_PIECES, case_of, title_words


@pytest.mark.parametrize(
    ("word", "case"),
    [
        ("lamp", "lower"),
        ("Lamp", "Title"),
        ("LAMP", "UPPER"),
        ("iPhone", "mixed"),
        ("A", "Title"),
        ("15L", "digits"),
        ("12", "digits"),
        ("don't", "lower"),
    ],
)
def test_case(word: str, case: str) -> None:
    assert CASES[case_of(word)] == case


def test_every_piece_belongs_to_the_word_that_it_spells() -> None:
    (title,) = title_words(["Gütermann T-Shirt (Smith & Wesson), 2.5 mm™"])
    assert [word.text for word in title.words] == [
        *("Gütermann", "T", "Shirt", "Smith", "Wesson", "2.5", "mm"),
    ]
    assert set(title.word_of) == {-1, *range(7)}
    assert title.word_of[0] == title.word_of[-1] == -1  # [CLS] and [SEP]
    assert len(title.cases) == 7


def test_words_beyond_the_longest_input_are_left_out() -> None:
    (title,) = title_words(["lamp " * 500])
    assert len(title.pieces) == MAX_PIECES
    assert len(title.words) == MAX_PIECES - 2


@given(st.lists(st.text(max_size=40), max_size=5))
@settings(deadline=None)
def test_any_text_has_pieces_for_each_of_its_words(titles: list[str]) -> None:
    for title in title_words(titles):
        covered = {word for word in title.word_of.tolist() if word >= 0}
        assert covered <= set(range(len(title.words)))
        assert len(title.cases) == len(title.words)
