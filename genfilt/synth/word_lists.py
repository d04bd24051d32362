"""Word lists of the generated catalogue, and the choice among seen and held-out words."""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

HELD_OUT_SHARE = 0.7
"""Share of held-out words in held-out texts, where there is a choice."""

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Words:
    """Words of one meaning; held-out ones occur in val and test alone."""

    seen: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Color:
    """A colour's paint and names; the head of a family of several has `family_words`."""

    family: str
    rgb: RGB
    words: Words
    family_words: Words | None


@dataclass(frozen=True, slots=True)
class Gender:
    """The words before ("women's") and after ("for women") a type."""

    words: Words
    after: Words


@dataclass(frozen=True, slots=True)
class Category:
    """What a category's titles state and its queries name (facet -> probability)."""

    weight: float
    tells: Mapping[str, float]
    repeats: float
    falsifies: float
    brands: Words
    lines: Words
    needs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Type:
    """A type of product and the facet values that it comes in."""

    category: str
    words: Words
    colors: tuple[str, ...]
    materials: tuple[str, ...]
    patterns: tuple[str, ...] = ("solid",)
    genders: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    fits: str | None = None


@dataclass(frozen=True, slots=True)
class WordLists:
    """All word lists of titles and queries."""

    categories: Mapping[str, Category]
    types: Mapping[str, Type]
    colors: Mapping[str, Color]
    materials: Mapping[str, Words]
    patterns: Mapping[str, Words]
    genders: Mapping[str, Gender]
    title_forms: Words
    extras: Words
    misleading_forms: Words
    query_forms: Words
    query_wrappers: Words
    brand_wrappers: Words

    def types_of(self, category: str) -> list[str]:
        """Return the names of the types of one category."""
        return [name for name, kind in self.types.items() if kind.category == category]


class Voice:
    """Chooses the words of one title or query and records whether a held-out word was used."""

    def __init__(self, rng: random.Random, held_out: bool) -> None:
        self._rng = rng
        self._held_out = held_out
        self.used_held_out = False

    def say(self, words: Words) -> str:
        """Return one of `words`; a seen text takes a held-out one only if there is no other."""
        use = self._held_out and self._rng.random() < HELD_OUT_SHARE
        if (use and words.held_out) or not words.seen:
            self.used_held_out = True
            return self._rng.choice(words.held_out)
        return self._rng.choice(words.seen)

    def brand(self, brand: str, words: Words) -> str:
        """Return the brand's name, recorded where it is one of the held-out brands."""
        self.used_held_out |= brand in words.held_out
        return brand


def _words(table: Mapping[str, list[str]]) -> Words:
    return Words(tuple(table["seen"]), tuple(table["held_out"]))


def _type(table: dict[str, Any], palettes: Mapping[str, list[str]]) -> Type:
    return Type(
        category=table["category"],
        words=_words(table["words"]),
        colors=tuple(palettes[table["palette"]]),
        materials=tuple(table["materials"]),
        patterns=tuple(table.get("patterns", ["solid"])),
        genders=tuple(table.get("genders", [])),
        models=tuple(table.get("models", [])),
        fits=table.get("fits"),
    )


def _color(table: dict[str, Any]) -> Color:
    family_words = _words(table["family_words"]) if "family_words" in table else None
    return Color(table["family"], tuple(table["rgb"]), _words(table["words"]), family_words)


def _category(table: dict[str, Any]) -> Category:
    return Category(
        **{key: table[key] for key in ("weight", "tells", "repeats", "falsifies", "needs")},
        brands=_words(table["brands"]),
        lines=_words(table["lines"]),
    )


@cache
def load_word_lists() -> WordLists:
    """Return the word lists of vocabulary.toml."""
    raw = tomllib.loads((files(__package__) / "vocabulary.toml").read_text(encoding="utf-8"))
    return WordLists(
        categories={name: _category(table) for name, table in raw["categories"].items()},
        types={name: _type(table, raw["palettes"]) for name, table in raw["types"].items()},
        colors={name: _color(table) for name, table in raw["colors"].items()},
        materials={name: _words(table) for name, table in raw["materials"].items()},
        patterns={name: _words(table["words"]) for name, table in raw["patterns"].items()},
        genders={
            name: Gender(_words(table["words"]), _words(table["after"]))
            for name, table in raw["genders"].items()
        },
        title_forms=_words(raw["title_forms"]),
        extras=_words(raw["extras"]),
        misleading_forms=_words(raw["misleading_forms"]),
        query_forms=_words(raw["query_forms"]),
        query_wrappers=_words(raw["query_wrappers"]),
        brand_wrappers=_words(raw["brand_wrappers"]),
    )
