"""The vocabulary's TOML files: each parses to the tables that readers look words up in."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from genfilt.vocabulary.terms import FILES, core_term, vocabulary
from genfilt.vocabulary.tokens import words


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_toml_without_a_group_twice(name: str) -> None:
    text = (files("genfilt.vocabulary") / "data" / name).read_text("utf-8")
    assert tomllib.loads(text)  # a key twice is an error of the format


def test_marks_of_a_group_reach_its_terms() -> None:
    case, frame, iphone = (core_term(word) for word in ("sleeve", "frame", "iphone"))
    assert case is not None
    assert case.weak
    assert not case.generic
    assert frame is not None
    assert frame.canonical == "picture frame"
    assert iphone is not None
    assert (iphone.hint, iphone.broader) == (True, "phone")
    bag = core_term("bags")
    assert bag is not None
    assert bag.generic
    assert {term.section for term in vocabulary().core_words.entries()} == {
        *("upper", "lower", "full", "feet", "head", "object"),
    }


def test_colors_have_anchors_unless_they_are_never_shown() -> None:
    black = next(term for term in vocabulary().color_terms if term.phrase == "black")
    assert black.anchors[0] == "#000000"
    assert black.visible
    assert not next(term for term in vocabulary().color_terms if term.phrase == "silver").visible
    assert "brown" in vocabulary().neighbours["beige"]


def test_units_and_sizes() -> None:
    table = vocabulary()
    assert table.units["gigabytes"] == "GB"
    assert table.units["inches"] == " inch"  # a spoken unit stands apart from its number
    assert table.parameter_words["full hd"] == "Full HD"
    assert "XXL" in table.sizes


def test_every_broader_word_is_a_word_of_its_table() -> None:
    table = vocabulary()
    for phrases in (table.core_words, table.materials, table.colors):
        for term in phrases.entries():
            assert term.broader is None or phrases.get(words(term.broader)) is not None, term
