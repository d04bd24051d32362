"""Agreement of a requested value with the values of a product's title and picture.

A text confirms a requested value, contradicts it, or is silent. Words are compared by lemma, then
by the vocabulary's groups, then, where the vocabulary lacks them, by embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from genfilt.filter.agreement.attribute_values import (
    SOURCES,
    Family,
    Product,
    RequestedValue,
    Source,
    TextValues,
)
from genfilt.vocabulary.terms import (
    canonical_parameter,
    color_family,
    colors_close,
    core_term,
    core_word_relation,
    material_family,
    worn,
)

CONFIRM, SILENT, CONTRADICT = 1, 0, -1
# Smallest cosine of synonyms. Of the pairs of the vocabulary's own phrases that all-MiniLM places
# as near, 88 % are of one group; at 0.75 64 %, at 0.9 92 %.
MIN_SYNONYM_COSINE = 0.85
FAMILY_NAMES = {"color": "colour", "parameters": "parameter", "qualifier": "word", "words": "word"}
# Families that the words of a text confirm too.
BY_WORD = ("words", "qualifier", "brand", "parameters", "query words")
# A caption is a generator's wording: only the title confirms the query's own words.
BY_WORD_OF_PICTURE = tuple(family for family in BY_WORD if family != "query words")

Similarity = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]


@dataclass
class ValueMatcher:
    """Compares requested values with those of texts; caches every comparison.

    Args:
        synonyms: (requested, shown) pairs of values that an embedder places together.
    """

    synonyms: frozenset[tuple[str, str]] = frozenset()
    _known: dict[tuple[Family, str, str], int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, requested: Iterable[RequestedValue], products: Iterable[Product], similar: Similarity
    ) -> ValueMatcher:
        """Find the synonyms among types and colours that the vocabulary does not know.

        `similar` takes two lists of words and returns their cosines, (A, B).
        """
        shown_values = {
            each for product in products for text in product.values() for each in text.values
        }
        found: set[tuple[str, str]] = set()
        for family, known in (("type", core_term), ("color", color_family)):
            wanted = sorted({value for name, value in requested if name == family})
            shown = sorted({value for name, value in shown_values if name == family})
            if not wanted or not shown:
                continue
            near = similar(wanted, shown) >= MIN_SYNONYM_COSINE
            for a, b in zip(*np.nonzero(near), strict=True):
                if known(wanted[a]) is None or known(shown[b]) is None:
                    found.add((wanted[a], shown[b]))
        return cls(frozenset(found))

    def compare(self, requested: RequestedValue, shown: str) -> int:
        """Return CONFIRM, SILENT or CONTRADICT for a requested value and one of a text."""
        key = (*requested, shown)
        if requested[0] in BY_WORD:
            return self._compare(*key)  # quick, and too many to cache
        if key not in self._known:
            self._known[key] = self._compare(*requested, shown)
        return self._known[key]

    def _compare(self, family: Family, requested: str, shown: str) -> int:
        if requested == shown or (requested, shown) in self.synonyms:
            return CONFIRM
        if family == "type":
            return _types(requested, shown)
        if family == "color":
            return _colors(requested, shown)
        if family == "material":
            return _materials(requested, shown)
        if family == "parameters":
            return _parameters(requested, shown)
        if family == "audience":
            return SILENT if "unisex" in (requested, shown) else CONTRADICT
        return CONTRADICT if family == "brand" else SILENT

    def agreement(self, requested: RequestedValue, text: TextValues) -> tuple[int, str | None]:
        """Return the agreement of a requested value with one text, and the text's deciding value.

        Of several colours the first is the product's own: "black and blue shorts" are silent about
        blue.
        """
        family, value = requested
        shown = [each for name, each in text.values if name == family]
        found = [self.compare(requested, each) for each in shown]
        if CONFIRM in found and family == "color" and found[0] != CONFIRM:
            return SILENT, None
        if CONFIRM in found:
            return CONFIRM, shown[found.index(CONFIRM)]
        if family in BY_WORD and text.lemmas.issuperset(value.split()):
            return CONFIRM, value
        if CONTRADICT in found and SILENT not in found:
            return CONTRADICT, shown[0]
        return SILENT, None


def explain(
    matcher: ValueMatcher,
    requested: Sequence[RequestedValue],
    product: Product,
    vetoing: Collection[tuple[Family, Source]],
) -> tuple[bool, str]:
    """Return whether a text that may veto contradicts the query, and the reasons in words.

    "type: sweatshirt = hoodie; colour: blue = navy, from the picture; audience: women, not men".
    Empty where the product's texts are silent about all requested values.
    """
    vetoed = False
    reasons: dict[str, None] = {}
    for each in requested:
        if each[0] == "query words":  # their attributes and words are named already
            continue
        found = {source: matcher.agreement(each, product[source]) for source in SOURCES}
        confirmed = any(agreement == CONFIRM for agreement, _ in found.values())
        named = False
        for source, (agreement, shown) in found.items():
            against = agreement == CONTRADICT
            vetoed |= against and not confirmed and (each[0], source) in vetoing
            if against or (agreement == CONFIRM and not named):
                reasons[_reason(each, agreement, shown, source)] = None
            named |= agreement == CONFIRM
    return vetoed, "; ".join(reasons)


def _reason(requested: RequestedValue, agreement: int, shown: str | None, source: Source) -> str:
    family, value = requested
    reason = f"{FAMILY_NAMES.get(family, family)}: {value}"
    if shown != value:
        reason += f" = {shown}" if agreement == CONFIRM else f", not {shown}"
    return reason + (", from the picture" if source == "picture" else "")


def _types(requested: str, shown: str) -> int:
    relation = core_word_relation(requested, shown)
    if relation == "same":
        return CONFIRM
    if relation == "different":
        generic = [
            term.generic for word in (requested, shown) if (term := core_term(word)) is not None
        ]
        apart = "object" not in (places := (worn(requested), worn(shown))) and len(set(places)) > 1
        return SILENT if any(generic) and not apart else CONTRADICT
    return CONFIRM if relation == "kind" and _is_kind(shown, requested) else SILENT


def _is_kind(narrow: str, wide: str) -> bool:
    term = core_term(narrow)
    while term is not None and term.canonical != wide and term.broader is not None:
        term = core_term(term.broader)
    return term is not None and term.canonical == wide


def _colors(requested: str, shown: str) -> int:
    basic, other = color_family(requested), color_family(shown)
    if basic is None or other is None:
        return SILENT
    if basic == other:
        return CONFIRM if requested == basic else SILENT  # navy is a blue; not every blue is navy
    return SILENT if colors_close(requested, shown) else CONTRADICT


def _materials(requested: str, shown: str) -> int:
    basic, other = material_family(requested), material_family(shown)
    if basic is None or other is None:
        return SILENT
    if basic == other:
        return CONFIRM if requested == basic else SILENT  # organic cotton is cotton
    return CONTRADICT


def _parameters(requested: str, shown: str) -> int:
    """Compare parameters: two measures in one unit contradict, others are silent."""
    first, second = canonical_parameter(requested).casefold(), canonical_parameter(shown).casefold()
    if first == second:
        return CONFIRM
    same_unit = _unit(first) == _unit(second) != ""
    return CONTRADICT if same_unit else SILENT


def _unit(parameter: str) -> str:
    return parameter.lstrip("0123456789.,/x× -") if parameter[:1].isdigit() else ""
