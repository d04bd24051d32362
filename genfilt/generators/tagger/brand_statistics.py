"""Brands of a catalogue: leading runs of words that stand before many kinds of product.

The tagger's probability that a word belongs to a brand is averaged over all titles that a run of
words opens. A run whose average is high is a brand; one that opens titles of many kinds of product
and seldom stands elsewhere needs less. A run that opens several titles and is no brand is kept as
well, so that no single title calls it one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from genfilt.vocabulary.terms import audience_words
from genfilt.vocabulary.tokens import singular

LONGEST_NAME = 4  # words
MIN_TITLES = 3  # that a run opens: two may be two colours of one product
MIN_KINDS = 2  # of product that they are
BRAND_PROBABILITY = 0.5  # of a word, at which it is more likely part of a brand than not
RECURRING_PROBABILITY = 0.7  # the same for a run that opens two titles, or one kind of product
SINGLE_PROBABILITY = 0.9  # the same for a name that no other title has
# A run that the tagger doubts is a brand by its places: before many kinds, seldom elsewhere.
MIN_OPENING_SHARE = 0.9  # of the titles with the run, those that it opens
MIN_PROBABILITY_OF_KINDS = {
    3: 0.1,
    5: 0.05,
    6: 0.01,
}  # kinds of product -> the least the tagger must allow
# A continuation that covers most of a run's titles belongs to it unless the tagger excludes it.
CONTINUATION_SHARE, MIN_CONTINUATION_PROBABILITY = 0.8, 0.01
MAX_BEFORE_BRAND = 0.3  # of a run's titles, those that end in another name: a line, not a brand
LINKS = frozenset(("by", "from"))  # a brand follows
HOST_LINKS = frozenset(("for", "fits", "fit", "with", "compatible", "to"))  # no brand follows

Name = tuple[str, ...]


@dataclass(frozen=True)
class TaggedTitle:
    """What the tagger alone finds in a title.

    Attributes:
        words: folded.
        first: the first word that is no parameter ("pack of 2"), where a leading brand begins.
        core: the first and the last word of the core word.
        probability: of each word to be part of a brand.
        brand: the first and one past the last word of the likeliest brand, None without one.
    """

    words: Sequence[str]
    first: int
    core: tuple[int, int]
    probability: Sequence[float]
    brand: tuple[int, int] | None


@dataclass(frozen=True)
class BrandTable:
    """Folded names of a catalogue's brands, and openings of its titles that are none."""

    brands: frozenset[str]
    rejected: frozenset[str]


@dataclass
class _Run:
    """A run of words that opens titles."""

    titles: int = 0
    probability: float = 0.0  # summed over the titles: the mean of its words'
    last_probability: float = 0.0  # summed: its last word's
    anywhere: int = 0  # titles that hold it, other than after HOST_LINKS
    before_brand: int = 0  # titles that it opens and another name ends
    kinds: set[str] = field(default_factory=set)

    @property
    def mean(self) -> float:
        return self.probability / self.titles


def learn_brands(titles: Sequence[TaggedTitle]) -> BrandTable:
    """Return the brands of distinct titles, and the openings of titles that are none."""
    runs = _leading_runs(titles)
    names = set(_whole_names(runs))
    _count_anywhere(titles, runs, names)
    likely = {n for n in names if _is_likely(runs[n]) and n[0] not in audience_words()}
    late = {tuple(name.split()) for name in _tagged_elsewhere(titles)}
    _count_before_brand(titles, runs, likely | late)
    brands = {n for n in likely if runs[n].before_brand < MAX_BEFORE_BRAND * runs[n].titles} | late
    openings = {name[:1] for name in brands}
    rejected = {
        name
        for name in names - brands
        if name[:1] not in openings and runs[name].titles >= MIN_TITLES
    }
    return BrandTable(*(frozenset(" ".join(name) for name in each) for each in (brands, rejected)))


def find_brand(title: TaggedTitle, table: BrandTable) -> tuple[int, int] | None:
    """Return the words of a title's brand, [start, end); None where it has none."""
    words = title.words
    places = [title.first, 0, *(at + 1 for at, word in enumerate(words) if word in LINKS)]
    for start in places:
        for end in range(min(start + LONGEST_NAME, len(words)), start, -1):
            if " ".join(words[start:end]) in table.brands:
                return start, end
    for start in _late_places(title):
        if " ".join(words[start:]) in table.brands:
            return start, len(words)
    if title.brand is None:
        return None
    start, end = title.brand
    if (
        _mean(title.probability[start:end]) < SINGLE_PROBABILITY
        or len("".join(words[start:end])) < 2
    ):
        return None  # one letter is a style or a form ("j", "t shape") where it does not recur
    runs = (" ".join(words[start:stop]) for stop in range(start + 1, end + 1))
    return None if any(run in table.rejected for run in runs) else title.brand


def _leading_runs(titles: Iterable[TaggedTitle]) -> dict[Name, _Run]:
    """Return all runs of words that open titles, before or after a leading parameter."""
    runs: defaultdict[Name, _Run] = defaultdict(_Run)
    for title in titles:
        for start in {0, title.first}:
            limit = title.core[1] if title.core[1] > start else len(title.words)
            for end in range(start + 1, min(start + LONGEST_NAME, limit) + 1):
                run = runs[tuple(title.words[start:end])]
                run.titles += 1
                run.probability += _mean(title.probability[start:end])
                run.last_probability += title.probability[end - 1]
                run.kinds.add(singular(title.words[title.core[1]]))
    return dict(runs)


def _whole_names(runs: dict[Name, _Run]) -> Iterator[Name]:
    """Yield runs that recur, each extended by the words that belong to it."""
    children: defaultdict[Name, list[Name]] = defaultdict(list)
    for name, run in runs.items():
        if run.titles > 1:
            children[name[:-1]].append(name)
    waiting = children[()]
    while waiting:
        name = waiting.pop()
        longer = [child for child in children[name] if _continues(runs[name], runs[child])]
        waiting += longer
        rest = runs[name].titles - sum(runs[child].titles for child in longer)
        if rest >= MIN_TITLES or not longer:
            yield name


def _continues(run: _Run, longer: _Run) -> bool:
    if longer.last_probability >= BRAND_PROBABILITY * longer.titles:
        return True
    possible = longer.last_probability >= MIN_CONTINUATION_PROBABILITY * longer.titles
    covers = longer.titles >= max(MIN_TITLES, CONTINUATION_SHARE * run.titles)
    return possible and covers and len(longer.kinds) >= MIN_KINDS


def _is_likely(run: _Run) -> bool:
    if run.titles < MIN_TITLES or len(run.kinds) < MIN_KINDS:
        return run.mean >= RECURRING_PROBABILITY
    if run.mean >= BRAND_PROBABILITY:
        return True
    needed = (least for kinds, least in MIN_PROBABILITY_OF_KINDS.items() if len(run.kinds) >= kinds)
    return run.titles >= MIN_OPENING_SHARE * run.anywhere and run.mean >= min(needed, default=1.0)


def _count_anywhere(
    titles: Iterable[TaggedTitle], runs: dict[Name, _Run], names: Iterable[Name]
) -> None:
    wanted = set(names)
    for title in titles:
        contained = {
            name
            for start in range(len(title.words))
            if start == 0 or title.words[start - 1] not in HOST_LINKS
            for end in range(start + 1, min(start + LONGEST_NAME, len(title.words)) + 1)
            if (name := tuple(title.words[start:end])) in wanted
        }
        for name in contained:
            runs[name].anywhere += 1


def _late_places(title: TaggedTitle) -> Iterator[int]:
    """Yield where a name may begin that ends the title, after the core word."""
    for start in range(
        max(len(title.words) - LONGEST_NAME, title.core[1] + 1, 1), len(title.words)
    ):
        if title.words[start - 1] not in HOST_LINKS:
            yield start


def _count_before_brand(
    titles: Iterable[TaggedTitle], runs: dict[Name, _Run], names: Collection[Name]
) -> None:
    for title in titles:
        places = _late_places(title)
        late = next((n for at in places if (n := tuple(title.words[at:])) in names), None)
        for end in range(title.first + 1, title.first + LONGEST_NAME + 1):
            opening = tuple(title.words[title.first : end])
            if opening in names and opening in runs and late not in (None, opening):
                runs[opening].before_brand += 1


def _tagged_elsewhere(titles: Iterable[TaggedTitle]) -> Iterator[str]:
    """Yield the names that are tagged with confidence, not at the opening, in MIN_TITLES titles."""
    found: Counter[str] = Counter()
    for title in titles:
        if title.brand is None or title.brand[0] <= title.first:
            continue
        start, end = title.brand
        if _mean(title.probability[start:end]) >= BRAND_PROBABILITY:
            found[" ".join(title.words[start:end])] += 1
    yield from (name for name, count in found.items() if count >= MIN_TITLES)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
