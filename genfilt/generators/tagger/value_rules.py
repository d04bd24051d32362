"""Values of a title's fields as texts: core word and brand by the labels, the rest by word lists.

The word lists of materials, colours and parameters are right more often than the labels where they
have a value (benchmarks/results/2026-11-25-tagger.md); where they have none, the labels' count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from genfilt.generators.lexicon.core_word import head_tokens
from genfilt.generators.tagger.title_words import TitleWords
from genfilt.generators.tagger.word_labels import Span
from genfilt.vocabulary.parameters import find_parameters
from genfilt.vocabulary.terms import vocabulary

LONGEST_PHRASE = 4  # words of a product word in the vocabulary
LISTED = ("material", "color", "model_parameters")


def values(title: TitleWords, found: Sequence[Span]) -> dict[str, str | None]:
    """Return each field's text; several values of a field are separated by a comma and a blank."""
    named = {span.field: span for span in reversed(found) if span.field in ("core_word", "brand")}
    if "core_word" in named:
        head = _known_head(title, named["core_word"])
        if "brand" not in named or not _overlap(head, named["brand"]):
            named["core_word"] = head
    texts = {
        field: _written(title, [span for span in named.values() if span.field == field])
        for field in ("core_word", "brand")
    }
    listed = list(_listed(title, named.get("core_word"), named.get("brand")))
    for field in LISTED:
        spans = [span for span in listed if span.field == field]
        free = [s for s in found if s.field == field and not any(_overlap(s, x) for x in listed)]
        texts[field] = _written(title, spans or free)
    return texts


def _known_head(title: TitleWords, core: Span) -> Span:
    """Return the core word as far as the vocabulary has it, so that it can be compared with others.

    That is the longest phrase that ends where the core word ends ("gym jacket" is a "jacket",
    "sleeveless" before "top" belongs to it). Where it has none there, it is the phrase that ends
    the words before the first preposition ("yoga short"), else the core word as labelled: "camera
    strap" stays whole, since a strap alone names no type.
    """
    lists, end = vocabulary().lists, core.end
    while end - 1 > core.start and lists["breakers"].get([title.words[end - 1].lower]):
        end -= 1  # no preposition ends a core word
    found = _phrase_ending(title, end)
    material = vocabulary().materials.get([title.words[end - 1].lower])
    if found is not None and material and found.start == end - 1 >= core.start + 2:
        return Span(core.field, core.start, end - 1)  # "coffee filter" of "paper"
    if found is None:
        found = _phrase_ending(title, len(head_tokens(title.words)))
        if found is not None and not _may_replace(title, found):
            found = None
    return Span(core.field, core.start, end) if found is None else found


def _may_replace(title: TitleWords, found: Span) -> bool:
    """Tell whether a known phrase may take a core word's place.

    It must follow no number, as what a thing is packed in does ("steriliser 400g tub", "10
    sheets"), and end in no material ("coffee filter paper").
    """
    before = title.words[max(0, found.start - 2) : found.start]
    numbers = any(character.isdigit() for word in before for character in word.text)
    return not numbers and not vocabulary().materials.get([title.words[found.end - 1].lower])


def _phrase_ending(title: TitleWords, end: int) -> Span | None:
    for start in range(max(0, end - LONGEST_PHRASE), end):
        words = title.words[start:end]
        term = vocabulary().core_words.get([word.lower for word in words])
        whole = not any(word.breaks for word in words[1:])
        if term is not None and whole and not (term.generic or term.weak or term.hint):
            return Span("core_word", start, end)
    return None


def _listed(title: TitleWords, core: Span | None, brand: Span | None) -> Iterator[Span]:
    """Yield the values that the word lists have; no word is part of two, nor the head noun of any.

    The core word's other words may name a material ("leather jacket"), but no colour.
    """
    words = title.words
    taken = set(range(brand.start, brand.end)) if brand else set()
    taken |= {core.end - 1} if core else set()
    for parameter in find_parameters(title.text):
        at = [n for n, w in enumerate(words) if w.start < parameter.end and parameter.start < w.end]
        if at and not taken & set(at):
            yield Span("model_parameters", at[0], at[-1] + 1)
            taken |= set(at)
    for match in vocabulary().materials.find(words, taken):
        yield Span("material", match.start, match.end)
        taken |= set(range(match.start, match.end))
    taken |= set(range(core.start, core.end)) if core else set()
    for match in vocabulary().colors.find(words, taken):
        yield Span("color", match.start, match.end)


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _written(title: TitleWords, spans: Sequence[Span]) -> str | None:
    """Return runs of the title's words, in lower case but for brands and parameters."""
    texts: dict[str, None] = {}
    for span in spans:
        text = title.text[title.words[span.start].start : title.words[span.end - 1].end]
        texts[text if span.field in ("brand", "model_parameters") else text.lower()] = None
    return ", ".join(texts) or None
