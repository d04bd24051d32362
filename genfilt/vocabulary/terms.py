"""What words mean the same, and which are kinds of others: pure look-ups in the data files.

English only. The files beside this module are a general vocabulary of e-commerce; a word that they
lack is unknown here, and every look-up then answers None or "unknown".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Literal, TypedDict, cast

from genfilt.vocabulary.tokens import Phrases, clean, words

Relation = Literal["same", "kind", "different", "unknown"]

FILES = (
    "core_words.toml",
    "colors.toml",
    "color_relations.toml",
    "materials.toml",
    "parameters.toml",
    "words.toml",
)


class Group(TypedDict, total=False):
    """Synonyms as the files write them; the fields are those of Term."""

    synonyms: list[str]
    broader: str
    generic: bool
    weak: list[str]  # of its phrases, those that are weak
    hint: bool
    anchors: list[str]
    visible: bool


class ParameterLists(TypedDict):
    """The content of parameters.toml."""

    words: list[str]
    sizes: list[str]
    unit: dict[str, list[str]]
    spoken_unit: dict[str, list[str]]


@dataclass(frozen=True)
class Term:
    """One phrase of a vocabulary."""

    phrase: str  # as written in the file: the form that readers return
    canonical: str  # first phrase of its group
    broader: str | None  # canonical phrase of the next wider group; a colour's basic colour
    section: str = ""  # of core words: where the thing is worn
    generic: bool = False  # names no type on its own
    weak: bool = False  # a core word only where the title holds no other
    hint: bool = False  # implies its broader core word
    anchors: tuple[str, ...] = ()  # of colours: sRGB as #rrggbb
    visible: bool = True  # of colours: can name a region of a picture


@dataclass
class Vocabulary:
    """All data files, parsed."""

    core_words: Phrases[Term] = field(default_factory=Phrases)
    materials: Phrases[Term] = field(default_factory=Phrases)
    colors: Phrases[Term] = field(default_factory=Phrases)
    color_terms: list[Term] = field(default_factory=list)
    neighbours: dict[str, frozenset[str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)  # written form -> unit after a number
    parameter_words: dict[str, str] = field(default_factory=dict)  # folded -> as written
    sizes: list[str] = field(default_factory=list)
    lists: dict[str, Phrases[str]] = field(default_factory=dict)
    digest: str = ""


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Return the data files' content, read once."""
    core_words: dict[str, dict[str, Group]] = tomllib.loads(_text("core_words.toml"))
    colors: dict[str, Group] = tomllib.loads(_text("colors.toml"))
    materials: dict[str, Group] = tomllib.loads(_text("materials.toml"))
    parameters = cast(ParameterLists, tomllib.loads(_text("parameters.toml")))
    neighbours: dict[str, list[str]] = tomllib.loads(_text("color_relations.toml"))
    lists: dict[str, list[str]] = tomllib.loads(_text("words.toml"))
    found = Vocabulary(
        core_words=_phrases(t for name, each in core_words.items() for t in _groups(each, name)),
        materials=_phrases(_groups(materials)),
        colors=_phrases(_groups(colors)),
        color_terms=[term for term in _groups(colors) if term.phrase == term.canonical],
        neighbours={color: frozenset(others) for color, others in neighbours.items()},
        units=_units(parameters),
        parameter_words={word.casefold(): word for word in parameters["words"]},
        sizes=parameters["sizes"],
        digest=blake2b("".join(map(_text, FILES)).encode(), digest_size=16).hexdigest(),
    )
    for name, phrases in lists.items():
        found.lists[name] = Phrases()
        for phrase in phrases:
            found.lists[name].add(phrase, phrase)
    return found


def canonical_core_word(text: str) -> str | None:
    """Return the first word of the synonyms: "tshirt" is a "tee"; None where unknown."""
    term = core_term(text)
    return None if term is None else term.canonical


def core_word_family(text: str) -> str | None:
    """Return the widest core word that still names a type: leggings are "pants".

    Generic words ("top", "bag") end the climb; one alone is its own family.
    """
    term = core_term(text)
    if term is None:
        return None
    while term.broader is not None:
        wider = core_term(term.broader)
        if wider is None or wider.generic:
            break
        term = wider
    return term.canonical


def worn(text: str) -> str | None:
    """Return where a thing is worn: upper, lower, full, feet or head; "object" elsewhere."""
    term = core_term(text)
    return None if term is None else term.section


def core_word_relation(a: str, b: str) -> Relation:
    """Compare two core words: "same", or "kind" where one is the wider one of the other."""
    first, second = canonical_core_word(a), canonical_core_word(b)
    if first is None or second is None:
        return "unknown"
    if first == second:
        return "same"
    return "kind" if first in _wider(second) or second in _wider(first) else "different"


def color_family(text: str) -> str | None:
    """Return the basic colour of a colour word: "navy" is a "blue"; None where unknown."""
    term = _term(vocabulary().colors, text)
    return None if term is None else term.broader or term.canonical


def colors_close(a: str, b: str) -> bool:
    """Tell whether two colour words have one basic colour or neighbouring ones."""
    first, second = color_family(a), color_family(b)
    if first is None or second is None:
        return False
    return first == second or second in vocabulary().neighbours.get(first, frozenset())


def material_family(text: str) -> str | None:
    """Return the widest material: "organic cotton" is "cotton"; None where unknown."""
    term = _term(vocabulary().materials, text)
    while term is not None and term.broader is not None:
        term = _term(vocabulary().materials, term.broader)
    return None if term is None else term.canonical


def canonical_parameter(text: str) -> str:
    """Return a parameter in one form: "128 gb" and "128GB" are "128GB", "full hd" is "Full HD"."""
    text = clean(text)
    if text.casefold() in vocabulary().parameter_words:
        return vocabulary().parameter_words[text.casefold()]
    found = re.fullmatch(r"([\d.,/x× -]*\d)[\s-]*([^\d\s].*)", text)
    unit = vocabulary().units.get(found.group(2).casefold().strip()) if found else None
    if found is None or unit is None:
        return text
    number = re.sub(r"\s*[x×]\s*", " x ", found.group(1).replace(",", "")).strip()
    return number + unit


def core_term(text: str) -> Term | None:
    """Return the vocabulary's entry of a core word, None where unknown."""
    return _term(vocabulary().core_words, text)


def _term(table: Phrases[Term], text: str) -> Term | None:
    key = words(text)
    return table.get(key) if key else None


def _wider(canonical: str) -> set[str]:
    found: set[str] = set()
    term = core_term(canonical)
    while term is not None and term.broader is not None and term.broader not in found:
        found.add(term.broader)
        term = core_term(term.broader)
    return found


@lru_cache(maxsize=1)
def audience_words() -> frozenset[str]:
    """Return the folded words that name an audience ("womens", "kids")."""
    table: dict[str, list[str]] = tomllib.loads(_text("audience.toml"))
    return frozenset(word for name, others in table.items() for word in (name, *others))


def _text(name: str) -> str:
    return (files("genfilt.vocabulary") / "data" / name).read_text("utf-8")


def _groups(groups: Mapping[str, Group], section: str = "") -> Iterator[Term]:
    """Yield the terms of a table of synonym groups, in the order of the file."""
    for first, group in groups.items():
        phrases, weak = (first, *group.get("synonyms", ())), group.get("weak", ())
        for phrase in phrases:
            plural = phrase + "s"
            yield Term(
                phrase=plural
                if plural in phrases and plural not in weak and phrase != first
                else phrase,
                canonical=first,
                broader=group.get("broader"),
                section=section,
                generic=group.get("generic", False),
                weak=phrase in weak,
                hint=group.get("hint", False),
                anchors=tuple(group.get("anchors", ())),
                visible=group.get("visible", True),
            )


def _phrases(terms: Iterable[Term]) -> Phrases[Term]:
    found: Phrases[Term] = Phrases()
    for term in terms:
        found.add(term.phrase, term)
    return found


def _units(parameters: ParameterLists) -> dict[str, str]:
    """Return written form -> what follows the number; a spoken unit stands apart from it."""
    close = {form: unit for unit, forms in parameters["unit"].items() for form in forms}
    apart = {
        form: f" {unit}" for unit, forms in parameters["spoken_unit"].items() for form in forms
    }
    return close | apart
