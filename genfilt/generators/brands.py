"""Brands learnt from a catalogue: names that open titles of several kinds of product."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from genfilt.generators.text import Token
from genfilt.generators.vocabulary import vocabulary

NAME_TITLES = 3  # titles that a word outside the dictionary must open
NAME_FAMILIES = 2  # families of core words that those titles must span
WORD_TITLES = 5  # the same for a word of the dictionary, which more often is no brand
WORD_FAMILIES = 3
NAME_SHARE = 0.6  # of the titles that hold the word, those that it opens
WORD_SHARE = 0.9
FOLLOWS = 0.8  # share of a brand's titles that continue with one word: a brand of two words


@dataclass
class _Opening:
    """What is counted of a word that opens titles."""

    titles: int = 0
    families: set[str] = field(default_factory=set)
    written: Counter[str] = field(default_factory=Counter)
    following: Counter[tuple[str, str]] = field(default_factory=Counter)  # folded, as written


def learn_brands(titles: Iterable[tuple[Sequence[Token], str | None]]) -> dict[str, str]:
    """Return folded brand -> brand as most often written, learnt from (words, family) of titles.

    A brand opens titles of several families of core words and seldom stands elsewhere. Ordinary
    words, colours, materials and product words are none, and a word of the English dictionary
    needs more titles to be taken for one.
    """
    openings: defaultdict[str, _Opening] = defaultdict(_Opening)
    seen: Counter[str] = Counter()
    for tokens, family in titles:
        seen.update({token.lower for token in tokens})
        at = 1 if len(tokens) > 1 and tokens[0].lower == "the" else 0
        if len(tokens) <= at or is_ordinary(tokens[at]):
            continue
        opening = openings[tokens[at].lower]
        opening.titles += 1
        opening.written[tokens[at].text] += 1
        if family is not None:
            opening.families.add(family)
        if len(tokens) > at + 1 and not tokens[at + 1].breaks and not is_ordinary(tokens[at + 1]):
            opening.following[(tokens[at + 1].lower, tokens[at + 1].text)] += 1
    return dict(
        sorted(
            _named(word, opening)
            for word, opening in openings.items()
            if _is_brand(word, opening, seen[word])
        )
    )


def is_ordinary(token: Token) -> bool:
    """Tell whether a word has a meaning of its own that rules it out as a brand's name."""
    word = token.lower
    table = vocabulary()
    key = (word,)
    return (
        word[0].isdigit()
        or len(word) < 2
        or any(each.get(key) is not None for each in (table.core_words, table.materials))
        or table.colors.get(key) is not None
        or any(table.lists[name].get(key) is not None for name in ("ordinary", "breakers"))
        or word in table.units
    )


def _is_brand(word: str, opening: _Opening, seen: int) -> bool:
    from simplemma import is_known

    if opening.titles < NAME_TITLES or len(opening.families) < NAME_FAMILIES:
        return False
    if not is_known(word, lang="en"):
        return opening.titles >= NAME_SHARE * seen
    return (
        opening.titles >= max(WORD_TITLES, WORD_SHARE * seen)
        and len(opening.families) >= WORD_FAMILIES
    )


def _named(word: str, opening: _Opening) -> tuple[str, str]:
    written = _most_common(opening.written)
    follows: Counter[str] = Counter()
    for (lower, _), count in opening.following.items():
        follows[lower] += count
    if follows:
        second = max(sorted(follows), key=lambda each: follows[each])
        if follows[second] >= FOLLOWS * opening.titles:
            forms = Counter({t: n for (low, t), n in opening.following.items() if low == second})
            return f"{word} {second}", f"{written} {_most_common(forms)}"
    return word, written


def _most_common(forms: Counter[str]) -> str:
    return max(sorted(forms), key=lambda each: forms[each])
