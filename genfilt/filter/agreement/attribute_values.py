"""Attribute values by family: those a query requests and those a product's texts contain."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal, get_args

from genfilt.generators.protocols import Attributes
from genfilt.vocabulary.terms import (
    Term,
    canonical_core_word,
    canonical_parameter,
    core_term,
    core_word_relation,
    vocabulary,
)
from genfilt.vocabulary.tokens import Match, Phrases, clean, singular, tokenize, words

Family = Literal[
    "type",
    "color",
    "material",
    "brand",
    "parameters",
    "audience",
    "qualifier",
    "words",
    "query words",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
FUNCTION_WORDS = frozenset(("a", "an", "the", "and", "or", "of"))
RequestedValue = tuple[Family, str]
Source = Literal["title", "picture"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True)
class TextValues:
    """The attribute values and words of one text of a product."""

    values: tuple[tuple[Family, str], ...]  # in canonical form
    lemmas: frozenset[str]  # of every word


Product = dict[Source, TextValues]


def values_of_query(query: str, attributes: Attributes | None) -> tuple[RequestedValue, ...]:
    """Return the values that a query requests; `attributes` were extracted from its text.

    Words that no attribute covers form the family "words", by lemma.
    """
    requested: dict[RequestedValue, None] = {}
    rest = list(dict.fromkeys(singular(word) for word in words(query)))
    for family, value in _fields(attributes):
        requested[(family, canonical(family, value))] = None
        rest = _without(rest, value)
    for match in audiences().find(tokenize(clean(query))):
        requested[("audience", match.entry)] = None
        rest = [word for word in rest if audiences().get((word,)) is None]
    for word in rest:
        if not _is_filler(word):
            requested[("words", word)] = None
    return tuple(requested)


def query_words(query: str) -> tuple[RequestedValue, ...]:
    """Return every word of a query by lemma as family "query words", also those of attributes."""
    lemmas = dict.fromkeys(singular(word) for word in words(query))
    return tuple(("query words", lemma) for lemma in lemmas if not _is_filler(lemma))


def values_of_product(title: str, attributes: Attributes | None, caption: str) -> Product:
    """Return the values of a product's title with its attributes and of its caption ("": none)."""
    title_values = [
        *_fields(attributes),
        *(("audience", match.entry) for match in audiences().find(tokenize(clean(title)))),
    ]
    shown = _caption_values(caption, None if attributes is None else attributes.core_word)
    return {
        "title": _text_values(title, title_values),
        "picture": _text_values(caption, shown),
    }


def _text_values(text: str, found: Iterable[tuple[Family, str]]) -> TextValues:
    values = dict.fromkeys((family, canonical(family, value)) for family, value in found)
    return TextValues(tuple(values), frozenset(singular(word) for word in words(text)))


@lru_cache(maxsize=1 << 16)
def canonical(family: Family, value: str) -> str:
    """Return the form of a value that its synonyms share; an unknown value becomes its lemmas."""
    found: str | None = None
    if family == "type":
        found = canonical_core_word(value)
    elif family in ("color", "material"):
        table = vocabulary().colors if family == "color" else vocabulary().materials
        term = table.get(words(value))
        found = None if term is None else term.canonical
    elif family == "parameters":
        found = canonical_parameter(value).casefold()
    return found or " ".join(singular(word) for word in words(value))


@lru_cache(maxsize=1)
def audiences() -> Phrases[str]:
    """Return the words that name an audience, each with its canonical audience."""
    found: Phrases[str] = Phrases()
    text = (files("genfilt.vocabulary") / "data" / "audience.toml").read_text("utf-8")
    for audience, synonyms in tomllib.loads(text).items():
        for word in (audience, *synonyms):
            found.add(word, audience)
    return found


def _fields(attributes: Attributes | None) -> Iterator[tuple[Family, str]]:
    if attributes is None:
        return
    fields: tuple[tuple[Family, str | None], ...] = (
        ("type", attributes.core_word),
        ("color", attributes.color),
        ("material", attributes.material),
        ("brand", attributes.brand),
        ("parameters", attributes.model_parameters),
    )
    for family, text in fields:
        for value in (text or "").split(","):
            if words(value):
                yield family, value.strip()


def _caption_values(caption: str, core_word: str | None) -> Iterator[tuple[Family, str]]:
    """Yield the values of a caption; of several items in it, those of the item that is sold.

    Colours and materials precede their item: in "a red tank and black shorts" the tank is red. An
    item without any gets all of the caption's.
    """
    tokens = tokenize(clean(caption))
    items = [m for m in vocabulary().core_words.find(tokens) if not m.entry.generic]
    about: list[tuple[Family, Match[Term]]] = [
        *(("color", match) for match in vocabulary().colors.find(tokens)),
        *(("material", match) for match in vocabulary().materials.find(tokens)),
    ]
    item = _sold_item(items, core_word)
    if item is not None:
        yield "type", item.entry.phrase
        after = max((m.end for m in items if m.end <= item.start), default=0)
        near = [(family, m) for family, m in about if after <= m.start < item.end]
        about = near or about
    for family, match in about:
        yield family, match.entry.phrase
    for audience in audiences().find(tokens):
        yield "audience", audience.entry


def _sold_item(items: Sequence[Match[Term]], core_word: str | None) -> Match[Term] | None:
    if core_word is not None:
        for item in items:
            if core_word_relation(item.entry.canonical, core_word) in ("same", "kind"):
                return item
        term = core_term(core_word)
        for item in items:
            if term is not None and item.entry.section == term.section != "object":
                return item
    return items[0] if items else None


def _without(rest: list[str], value: str) -> list[str]:
    covered = {singular(word) for word in words(value)}
    return [word for word in rest if word not in covered]


def _is_filler(word: str) -> bool:
    return word in FUNCTION_WORDS or vocabulary().lists["breakers"].get((word,)) is not None
