"""Brands of a catalogue by counts: names of one to three words that stand at the ends of titles.

A name is a brand where titles name it as maker ("vase by Acme"), or where it opens or closes titles
of several kinds of product. Words with a meaning of their own (colours, materials, product words,
ordinary and promotional words, words of the English dictionary) need more evidence, and in a
catalogue that names makers by "by" a name beside a maker's is a line of products, no brand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from genfilt.vocabulary.terms import vocabulary
from genfilt.vocabulary.tokens import Token, singular

MAX_NAME_WORDS = 3
MIN_MAKER_TITLES = 2  # titles with "by" before a name
MIN_NAME_TITLES = 3  # titles at whose ends a name outside the dictionary stands
MIN_NAME_FAMILIES = 2  # families of core words that they span
MIN_ORDINARY_TITLES = 5  # the same for a name of dictionary words
MIN_ORDINARY_FAMILIES = 3
MIN_ENDS_SHARE = 0.6  # of the titles with a name, those that begin or end with it
MIN_OPENING_SHARE = 0.9  # of the titles with a dictionary word, those that begin with it
MIN_TOGETHER_SHARE = 0.8  # of the titles with one of a name's words, those with the whole name
MAX_BESIDE_MAKER_SHARE = 0.3  # of a name's titles, those with a maker's too: else it is a line

Name = tuple[str, ...]


@dataclass(frozen=True)
class TokenizedTitle:
    """A title as brands are learnt from it."""

    text: str  # cleaned
    tokens: Sequence[Token]
    family: str | None  # of its core word


@dataclass
class NameCounts:
    """What is counted of a run of words."""

    titles: int = 0
    ends: int = 0  # titles that it opens or closes
    opens: int = 0
    made: int = 0  # titles with "by" before it
    families: set[str] = field(default_factory=set)
    written: Counter[str] = field(default_factory=Counter)
    beside: Counter[Name] = field(default_factory=Counter)  # other names in the same titles


def learn_brands(titles: Callable[[], Iterable[TokenizedTitle]]) -> dict[str, str]:
    """Return folded brand -> brand as most often written.

    Args:
        titles: gives the titles each time it is called; it is called twice.
    """
    places: Counter[Name] = Counter()
    for title in titles():
        places.update(_places(title.tokens))
    counts = {name: NameCounts() for name, count in places.items() if count >= MIN_MAKER_TITLES}
    words: Counter[str] = Counter()
    for title in titles():
        words.update({token.lower for token in title.tokens})
        _count(counts, title)
    found = {name for name, seen in counts.items() if _is_maker(name, seen, words)}
    found |= {
        name
        for name, seen in counts.items()
        if _recurs(name, seen, words)
        and sum(seen.beside[maker] for maker in found) <= MAX_BESIDE_MAKER_SHARE * seen.titles
    }
    kept = {name for name in found if not _is_part(name, found, counts)}
    return {
        " ".join(name): max(sorted(written := counts[name].written), key=lambda each: written[each])
        for name in sorted(kept)
    }


def is_ordinary(word: str) -> bool:
    """Tell whether a folded word has a meaning of its own that rules it out as a name."""
    table = vocabulary()
    key = (word,)
    return (
        word[0].isdigit()
        or len(word) < 2
        or table.core_words.get(key) is not None
        or table.materials.get(key) is not None
        or table.colors.get(key) is not None
        or any(table.lists[name].get(key) is not None for name in ("ordinary", "breakers"))
        or word in table.units
    )


def _runs(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    for start in range(len(tokens)):
        for end in range(start + 1, min(start + MAX_NAME_WORDS, len(tokens)) + 1):
            if end - start > 1 and tokens[end - 1].breaks:
                break
            yield start, end


def _places(tokens: Sequence[Token]) -> set[Name]:
    """Return the runs of words that stand where brands stand."""
    return {
        tuple(token.lower for token in tokens[start:end])
        for start, end in _runs(tokens)
        if start == 0 or end == len(tokens) or tokens[start - 1].lower == "by"
    }


def _count(counts: Mapping[Name, NameCounts], title: TokenizedTitle) -> None:
    tokens = title.tokens
    seen: dict[Name, bool] = {}  # whether it opens the title
    for start, end in _runs(tokens):
        name = tuple(token.lower for token in tokens[start:end])
        found = counts.get(name)
        if found is None:
            continue
        found.written[title.text[tokens[start].start : tokens[end - 1].end]] += 1
        found.made += start > 0 and tokens[start - 1].lower == "by"
        if name not in seen:
            seen[name] = start == 0
            found.titles += 1
            found.opens += start == 0
            found.ends += start == 0 or end == len(tokens)
            found.families |= {title.family} if title.family is not None else set()
    for name in seen:
        counts[name].beside.update(other for other in seen if not set(other) & set(name))


def _is_maker(name: Name, seen: NameCounts, words: Counter[str]) -> bool:
    if seen.made < MIN_MAKER_TITLES or _is_plain(name):
        return False
    if len(name) == 1:
        return not is_ordinary(name[0]) or seen.ends >= MIN_ENDS_SHARE * seen.titles
    return _belongs_together(name, seen, words)


def _recurs(name: Name, seen: NameCounts, words: Counter[str]) -> bool:
    if seen.titles < MIN_NAME_TITLES or _is_plain(name) or seen.ends < MIN_ENDS_SHARE * seen.titles:
        return False
    if len(seen.families) < MIN_NAME_FAMILIES or not _belongs_together(name, seen, words):
        return False
    if any(not is_ordinary(word) and not _in_dictionary(word) for word in name):
        return not any(is_ordinary(word) for word in name)
    return (
        len(seen.families) >= MIN_ORDINARY_FAMILIES
        and seen.titles >= MIN_ORDINARY_TITLES
        and seen.opens >= MIN_OPENING_SHARE * seen.titles
        and not all(is_ordinary(word) for word in name)
    )


def _belongs_together(name: Name, seen: NameCounts, words: Counter[str]) -> bool:
    """Tell whether the words of a name seldom stand apart: "black anchor", unlike "black shoe"."""
    return len(name) == 1 or seen.titles >= MIN_TOGETHER_SHARE * min(words[word] for word in name)


def _is_plain(name: Name) -> bool:
    """Tell whether the words have another meaning than a name."""
    table = vocabulary()
    if name[0].isdigit() or name[0] in ("by", "from", "the") or name[-1] in ("by", "the"):
        return True
    if any(table.lists["promotion"].get(name[at:]) is not None for at in range(len(name))):
        return True
    if any(each.get(name) is not None for each in (table.core_words, table.colors)):
        return len(name) > 1 or table.lists["ordinary"].get(name) is not None
    if any(table.lists["breakers"].get((word,)) is not None for word in name):
        return True
    return any(
        table.core_words.get((word,)) is not None and singular(word) != word for word in name
    )


def _in_dictionary(word: str) -> bool:
    from simplemma import is_known

    known: bool = is_known(word, lang="en")
    return known


def _is_part(name: Name, found: set[Name], counts: Mapping[Name, NameCounts]) -> bool:
    """Tell whether a name mostly stands inside a longer one, or only lengthens a shorter one."""
    for other in found:
        if len(other) == len(name):
            continue
        short, long = sorted((name, other), key=len)
        if any(long[at : at + len(short)] == short for at in range(len(long) - len(short) + 1)):
            whole = counts[long].titles >= MIN_TOGETHER_SHARE * counts[short].titles
            if (name == short) == whole:
                return True
    return False
