"""The core word of a title: its head noun, as far as the vocabulary has it.

English compounds end in their head ("coffee table book"), and what a thing is for, or comes with,
follows a preposition ("case for phone"). A long run of product words without any is a stuffed
title, and there the family named most often wins, the first one among equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from genfilt.vocabulary.terms import Term, core_term, core_word_family, vocabulary
from genfilt.vocabulary.tokens import Match, Token, words

MIN_STUFFED_WORDS = 7
MIN_STUFFED_TERMS = 3


@dataclass(frozen=True)
class CoreWord:
    """The core word, and the indices of tokens that belong to product words."""

    word: str | None
    covers: set[int] = field(default_factory=set)
    modifiers: set[int] = field(default_factory=set)  # of these, the core word's but its head


def find_core_word(tokens: Sequence[Token], taken: set[int], heads: frozenset[str]) -> CoreWord:
    """Choose the core word of a title.

    Args:
        tokens: the title's words.
        taken: indices that belong to something else (parameters).
        heads: further product words, learnt from the catalogue.
    """
    blocked = taken | _in_phrases(tokens)
    matches = list(vocabulary().core_words.find(tokens, blocked))
    covers = {
        index
        for match in matches
        if match.end - match.start > 1
        for index in range(match.start, match.end)
    }
    segments = _segments(tokens, blocked)
    for accepts in (_is_strong, _is_ambiguous, _is_generic, _is_weak):
        if accepts is _is_generic and (learnt := _learnt(tokens, segments, heads)) is not None:
            return CoreWord(tokens[learnt].lower, covers | {learnt})
        for start, end in segments:
            inside = [m for m in matches if start <= m.start < end and accepts(m.entry)]
            if inside:
                chosen = _chosen(inside, end - start)
                covers |= set(range(chosen.start, chosen.end))
                modifiers = set(range(chosen.start, chosen.end - 1))
                return CoreWord(chosen.entry.phrase, covers, modifiers)
    for match in matches:
        if match.entry.hint:
            return CoreWord(match.entry.broader, covers)
    return CoreWord(None, covers)


def head_tokens(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the words before the first preposition or punctuation; the last is the head noun."""
    for start, end in _segments(tokens, _in_phrases(tokens)):
        return tokens[start:end]
    return ()


def _is_strong(term: Term) -> bool:
    return not (term.generic or term.weak or term.hint or _names_look(term))


def _is_ambiguous(term: Term) -> bool:
    return not (term.generic or term.weak or term.hint)


def _names_look(term: Term) -> bool:
    """Tell whether a product word is a colour or material as well, as cream and glass are."""
    key = words(term.phrase)
    table = vocabulary()
    return table.colors.get(key) is not None or table.materials.get(key) is not None


def _is_generic(term: Term) -> bool:
    return term.generic and not term.weak


def _is_weak(term: Term) -> bool:
    return term.weak


def _chosen(matches: list[Match[Term]], length: int) -> Match[Term]:
    families = [core_word_family(match.entry.canonical) for match in matches]
    if length < MIN_STUFFED_WORDS or len(matches) < MIN_STUFFED_TERMS or len(set(families)) < 2:
        return matches[-1]
    counts = Counter(families)
    most = max(counts.values())
    return next(m for m, family in zip(matches, families, strict=True) if counts[family] == most)


def _learnt(
    tokens: Sequence[Token], segments: Sequence[tuple[int, int]], heads: frozenset[str]
) -> int | None:
    for _, end in segments:
        if tokens[end - 1].lower in heads and core_term(tokens[end - 1].lower) is None:
            return end - 1
    return None


def _in_phrases(tokens: Sequence[Token]) -> set[int]:
    found = vocabulary().lists["phrases"].find(tokens)
    return {index for match in found for index in range(match.start, match.end)}


def _segments(tokens: Sequence[Token], blocked: set[int]) -> list[tuple[int, int]]:
    """Cut at prepositions and punctuation; "set of" is removed before the noun that it counts."""
    cuts = {0, len(tokens)}
    dropped = set()
    for match in vocabulary().lists["breakers"].find(tokens, blocked):
        cuts |= {match.start, match.end}
        dropped.add(match.start)
    for index, token in enumerate(tokens):
        if token.breaks:
            cuts.add(index)
        if token.lower == "of" and index and _counts(tokens, index):
            cuts |= {index - 1, index + 1}
            dropped.add(index - 1)
    return [(start, end) for start, end in pairwise(sorted(cuts)) if start not in dropped]


def _counts(tokens: Sequence[Token], of: int) -> bool:
    return vocabulary().lists["counters"].get([tokens[of - 1].lower]) is not None
