"""Titles as words: tokens that remember where they stood, and tables of phrases to find in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

T = TypeVar("T")

_MARKS = str.maketrans(
    {"™": " ", "®": " ", "©": " ", "’": "'", "‘": "'", "”": '"', "“": '"', "″": '"'}
)
_TOKEN = re.compile(r"\d+(?:[.,/]\d+)+|[^\W_]+(?:'[^\W_]+)*")
_BREAK = re.compile(r"[,;:|()\[\]{}•!?]|\s[-–—~/+]+\s|[–—]|\.\s")


@dataclass(frozen=True)
class Token:
    """One word of a text."""

    text: str  # as written
    lower: str  # folded, without apostrophes: what tables are searched by
    start: int
    end: int
    breaks: bool  # punctuation stands before it that ends a phrase


@dataclass(frozen=True)
class Match(Generic[T]):
    """A phrase found in tokens[start:end]."""

    start: int
    end: int
    entry: T


def clean(text: str) -> str:
    """Return the text in NFKC without trademark signs, which NFKC would turn into letters."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_MARKS)).split())


def tokenize(text: str) -> list[Token]:
    """Split a cleaned text into words; a hyphen parts words, an apostrophe does not."""
    tokens: list[Token] = []
    end = 0
    for found in _TOKEN.finditer(text):
        gap = text[end : found.start()]
        lower = found.group().casefold().replace("'", "")
        breaks = bool(tokens) and _BREAK.search(gap) is not None
        tokens.append(Token(found.group(), lower, found.start(), found.end(), breaks))
        end = found.end()
    return tokens


def words(text: str) -> tuple[str, ...]:
    """Return a phrase as tables hold it."""
    return tuple(token.lower for token in tokenize(clean(text)))


@lru_cache(maxsize=1 << 16)
def singular(word: str) -> str:
    """Strip the regular English plural; both sides of a comparison go through it."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


class Phrases(Generic[T]):
    """Phrases of one or more words, each with what it stands for; plurals are found too."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, ...], T] = {}
        self._stems: dict[tuple[str, ...], T] = {}
        self._longest: dict[str, int] = {}  # words of a phrase, by the stem of its first one

    def add(self, phrase: str, entry: T) -> None:
        """Add a phrase; the first entry of a phrase stays."""
        key = words(phrase)
        self._exact.setdefault(key, entry)
        stems = _stems(key)
        self._stems.setdefault(stems, entry)
        if stems:
            self._longest[stems[0]] = max(self._longest.get(stems[0], 0), len(key))

    def get(self, key: Sequence[str]) -> T | None:
        """Return what exactly these words stand for."""
        found = self._exact.get(tuple(key))
        return self._stems.get(_stems(key)) if found is None else found

    def entries(self) -> Iterable[T]:
        """Return all entries, in the order in which they were added."""
        return self._exact.values()

    def find(self, tokens: Sequence[Token], without: Collection[int] = ()) -> Iterator[Match[T]]:
        """Yield the longest phrases from left to right; none overlaps another or spans a break.

        Args:
            tokens: the text's words.
            without: indices of words that no phrase may hold.
        """
        at = 0
        while at < len(tokens):
            match = None if at in without else self._at(tokens, at, without)
            if match is not None:
                yield match
            at = at + 1 if match is None else match.end

    def _at(self, tokens: Sequence[Token], start: int, without: Collection[int]) -> Match[T] | None:
        limit = min(len(tokens), start + self._longest.get(singular(tokens[start].lower), 0))
        if limit == start:
            return None  # most words begin no phrase
        end = start + 1
        while end < limit and not tokens[end].breaks and end not in without:
            end += 1
        for stop in range(end, start, -1):
            entry = self.get([token.lower for token in tokens[start:stop]])
            if entry is not None:
                return Match(start, stop, entry)
        return None


def _stems(key: Sequence[str]) -> tuple[str, ...]:
    return tuple(singular(word) for word in key)
