"""Word lists of the training titles, read from the TOML files in `words/`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genfilt.synth.word_lists import load_word_lists
from genfilt.vocabulary.tokens import words

FOLDER = Path(__file__).parent / "words"


@dataclass(frozen=True)
class Department:
    """What one department sells, and the words beside its products' names.

    Attributes:
        nouns: names of products.
        adjectives: unlabelled words before a noun.
        varieties: flavours, series, uses and patterns; unlabelled, before or after a noun.
        features: phrases that follow a noun ("with lid").
        sizes: units after a number.
        materials: what its products are made of; empty where titles name none.
        audiences: whom its products are for.
        forms: packages ("jar").
        hosts: things that its accessories are for.
        accessories: nouns that follow a host ("stand").
    """

    name: str
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    varieties: tuple[str, ...]
    features: tuple[str, ...]
    sizes: tuple[str, ...]
    materials: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    accessories: tuple[str, ...] = ()


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _read(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((FOLDER / name).read_text("utf-8"))


@cache
def departments() -> dict[str, Department]:
    """Return all departments by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.toml")):
        if path.name in ("shared.toml", "brands.toml"):
            continue
        for name, table in _read(path.name).items():
            found[name] = Department(name, **{key: _split(text) for key, text in table.items()})
    return found


@cache
def shared(kind: str) -> tuple[str, ...]:
    """Return a list of shared.toml: words of all departments."""
    return _split(str(_read("shared.toml")[kind]))


@cache
def brand_words(kind: str) -> tuple[str, ...]:
    """Return a list of brands.toml."""
    return _split(str(_read("brands.toml")[kind]))


@cache
def held_out_phrases() -> frozenset[tuple[str, ...]]:
    """Return the core words and brands that synth keeps for measuring; no title may hold one."""
    lists = load_word_lists()
    phrases = [phrase for kind in lists.types.values() for phrase in kind.words.held_out]
    phrases += [brand for each in lists.categories.values() for brand in each.brands.held_out]
    return frozenset(words(phrase) for phrase in phrases)


def holds_any(text: str, phrases: frozenset[tuple[str, ...]]) -> bool:
    """Tell whether a text holds one of the phrases as a run of words."""
    found = words(text)
    lengths = {len(phrase) for phrase in phrases}
    return any(found[at : at + length] in phrases for length in lengths for at in range(len(found)))
