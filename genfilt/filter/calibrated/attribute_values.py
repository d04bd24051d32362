"""What a query asks for and what a product shows, family by family, from text alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

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
    "type", "color", "material", "brand", "parameters", "audience", "qualifier", "words"
]
FAMILIES: tuple[Family, ...] = (
    "type",
    "color",
    "material",
    "brand",
    "parameters",
    "audience",
    "qualifier",
    "words",
)
FUNCTION_WORDS = frozenset(("a", "an", "the", "and", "or", "of"))
Asked = tuple[Family, str]


Source = Literal["title", "picture"]
SOURCES: tuple[Source, ...] = ("title", "picture")


@dataclass(frozen=True)
class Said:
    """What one text says of a product."""

    held: tuple[tuple[Family, str], ...]  # in canonical form
    stems: frozenset[str]  # every word of it, by lemma


Product = dict[Source, Said]


def asked_by(query: str, attributes: Attributes | None) -> tuple[Asked, ...]:
    """Return what a query asks for; `attributes` are the generator's reading of it.

    Words that no attribute covers form the family "words", by lemma.
    """
    asked: dict[Asked, None] = {}
    rest = list(dict.fromkeys(singular(word) for word in words(query)))
    for family, value in _fields(attributes):
        asked[(family, canonical(family, value))] = None
        rest = _without(rest, value)
    for match in audiences().find(tokenize(clean(query))):
        asked[("audience", match.entry)] = None
        rest = [word for word in rest if audiences().get((word,)) is None]
    for word in rest:
        if not _is_filler(word):
            asked[("words", word)] = None
    return tuple(asked)


def held_by(title: str, attributes: Attributes | None, caption: str) -> Product:
    """Return what a product's title, its attributes and its caption say ("" for no caption)."""
    told = [
        *_fields(attributes),
        *(("audience", match.entry) for match in audiences().find(tokenize(clean(title)))),
    ]
    shown = _pictured(caption, None if attributes is None else attributes.core_word)
    return {"title": _said(title, told), "picture": _said(caption, shown)}


def _said(text: str, held: Iterable[tuple[Family, str]]) -> Said:
    values = dict.fromkeys((family, canonical(family, value)) for family, value in held)
    return Said(tuple(values), frozenset(singular(word) for word in words(text)))


@lru_cache(maxsize=1 << 16)
def canonical(family: Family, value: str) -> str:
    """Return the form of a value that synonyms share; an unknown value is folded to lemmas."""
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
    """Return the words that say for whom a thing is, each with its audience."""
    found: Phrases[str] = Phrases()
    text = (files("genfilt.vocabulary") / "data" / "audience.txt").read_text("utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            audience, _, synonyms = line.partition(":")
            for word in (audience, *synonyms.split(",")):
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


def _pictured(caption: str, core_word: str | None) -> Iterator[tuple[Family, str]]:
    """Read a caption; of several things in it, the one that the title sells.

    Colours and materials stand before the thing they belong to: in "a red tank and black shorts"
    the tank is red. A thing without any takes all of the caption's.
    """
    tokens = tokenize(clean(caption))
    things = [m for m in vocabulary().core_words.find(tokens) if not m.entry.generic]
    about: list[tuple[Family, Match[Term]]] = [
        *(("color", match) for match in vocabulary().colors.find(tokens)),
        *(("material", match) for match in vocabulary().materials.find(tokens)),
    ]
    thing = _sold(things, core_word)
    if thing is not None:
        yield "type", thing.entry.phrase
        after = max((m.end for m in things if m.end <= thing.start), default=0)
        near = [(family, m) for family, m in about if after <= m.start < thing.end]
        about = near or about
    for family, match in about:
        yield family, match.entry.phrase
    for audience in audiences().find(tokens):
        yield "audience", audience.entry


def _sold(things: Sequence[Match[Term]], core_word: str | None) -> Match[Term] | None:
    if core_word is not None:
        for thing in things:
            if core_word_relation(thing.entry.canonical, core_word) in ("same", "kind"):
                return thing
        term = core_term(core_word)
        for thing in things:
            if term is not None and thing.entry.section == term.section != "object":
                return thing
    return things[0] if things else None


def _without(rest: list[str], value: str) -> list[str]:
    covered = {singular(word) for word in words(value)}
    return [word for word in rest if word not in covered]


def _is_filler(word: str) -> bool:
    return word in FUNCTION_WORDS or vocabulary().lists["breakers"].get((word,)) is not None
