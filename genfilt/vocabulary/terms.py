"""What words mean the same, and which are kinds of others: pure look-ups in the data files.

English only. The files beside this module are a general vocabulary of e-commerce; a word that they
lack is unknown here, and every look-up then answers None or "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Literal

from genfilt.vocabulary.tokens import Phrases, clean, words

Relation = Literal["same", "kind", "different", "unknown"]

FILES = (
    "core_words.txt",
    "colors.txt",
    "color_relations.txt",
    "materials.txt",
    "parameters.txt",
    "words.txt",
)


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
    found = Vocabulary()
    digest = blake2b(digest_size=16)
    for name in FILES:
        digest.update((files("genfilt.vocabulary") / "data" / name).read_bytes())
    found.digest = digest.hexdigest()
    for term in _groups("core_words.txt"):
        found.core_words.add(term.phrase, term)
    for term in _groups("materials.txt"):
        found.materials.add(term.phrase, term)
    for term in _groups("colors.txt"):
        found.colors.add(term.phrase, term)
        if term.phrase == term.canonical:
            found.color_terms.append(term)
    for _, line in _lines("color_relations.txt"):
        color, _, others = line.partition(":")
        found.neighbours[color] = frozenset(_split(others, ","))
    _read_parameters(found)
    for section, line in _lines("words.txt"):
        found.lists.setdefault(section, Phrases()).add(line, line)
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


def canonical_material(text: str) -> str | None:
    """Return the first word of the synonyms: "lycra" is "spandex"; None where unknown."""
    term = _term(vocabulary().materials, text)
    return None if term is None else term.canonical


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


def _lines(name: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in (files("genfilt.vocabulary") / "data" / name).read_text("utf-8").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("# "):
            yield section, line


def _groups(name: str) -> Iterator[Term]:
    """Parse `word: synonym, synonym #anchor < broader` lines; marks follow the first word."""
    for section, line in _lines(name):
        head, _, rest = line.partition(":")
        rest, _, broader = rest.partition("<")
        first = head.rstrip("*~!")
        marks = head[len(first) :]
        anchors = tuple(re.findall(r"#[0-9a-f]{6}", rest))
        visible = "!#" not in rest
        synonyms = _split(re.sub(r"!?#[0-9a-f]{6}", " ", rest), ",")
        for phrase in (first + marks, *synonyms):
            name = phrase.rstrip("*~!")
            yield Term(
                phrase=name + "s" if name + "s" in (first, *synonyms) and first != name else name,
                canonical=first,
                broader=broader.strip() or None,
                section=section,
                generic="*" in marks,
                weak="~" in phrase,
                hint="!" in marks,
                anchors=anchors,
                visible=visible,
            )


def _read_parameters(found: Vocabulary) -> None:
    for section, line in _lines("parameters.txt"):
        if section.endswith("unit"):
            unit, _, forms = line.partition("=")
            blank = " " if section.startswith("spoken") else ""
            for form in _split(forms, "|"):
                found.units[form] = blank + unit.strip()
        elif section == "word":
            found.parameter_words[line.casefold()] = line
        else:
            found.sizes.append(line)


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]
