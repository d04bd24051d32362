"""Attribute agreement: what a query asks for against what a product's title and picture say.

A thing asked for is confirmed, contradicted, or neither where the product is silent. Words are
compared by lemma, then by the vocabulary's groups, then, where the vocabulary does not know them,
by embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from genfilt.filter.calibrated.attribute_values import SOURCES, Asked, Family, Product, Said, Source
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
# Cosine of two words from which they are taken for synonyms. Of all pairs of the vocabulary's own
# phrases that all-MiniLM puts as near, 88 % are of one group; at 0.75 64 %, at 0.9 92 %.
SAME = 0.85
NAMES = {"color": "colour", "parameters": "parameter", "qualifier": "word", "words": "word"}
# Families that the words of a text confirm too.
BY_WORD = ("words", "qualifier", "brand", "parameters")

Similarity = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]


@dataclass
class ValueMatcher:
    """Compares values; remembers every comparison.

    Args:
        synonyms: pairs of values that an embedder takes for the same, either way round.
    """

    synonyms: frozenset[tuple[str, str]] = frozenset()
    _known: dict[tuple[Family, str, str], int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, asked: Iterable[Asked], products: Iterable[Product], similar: Similarity
    ) -> ValueMatcher:
        """Find the synonyms among types and colours that the vocabulary does not know.

        `similar` takes two lists of words and returns their cosines, (A, B).
        """
        held = {each for product in products for said in product.values() for each in said.held}
        found: set[tuple[str, str]] = set()
        for family, known in (("type", core_term), ("color", color_family)):
            wanted = sorted({value for name, value in asked if name == family})
            shown = sorted({value for name, value in held if name == family})
            if not wanted or not shown:
                continue
            near = similar(wanted, shown) >= SAME
            for a, b in zip(*np.nonzero(near), strict=True):
                if known(wanted[a]) is None or known(shown[b]) is None:
                    found.add((wanted[a], shown[b]))
        return cls(frozenset(found))

    def compare(self, asked: Asked, held: str) -> int:
        """Return CONFIRM, SILENT or CONTRADICT for one asked value and one held value."""
        key = (*asked, held)
        if asked[0] in BY_WORD:
            return self._compare(*key)  # quick, and too many to remember
        if key not in self._known:
            self._known[key] = self._compare(*asked, held)
        return self._known[key]

    def _compare(self, family: Family, asked: str, held: str) -> int:
        if asked == held or (asked, held) in self.synonyms:
            return CONFIRM
        if family == "type":
            return _types(asked, held)
        if family == "color":
            return _colors(asked, held)
        if family == "material":
            return _materials(asked, held)
        if family == "parameters":
            return _parameters(asked, held)
        if family == "audience":
            return SILENT if "unisex" in (asked, held) else CONTRADICT
        return CONTRADICT if family == "brand" else SILENT

    def verdict(self, asked: Asked, said: Said) -> tuple[int, str | None]:
        """Judge one asked value by one text; the held value that decided comes with it.

        Of several colours the first is the product's own: "black and blue shorts" are no more than
        silent about blue.
        """
        family, value = asked
        held = [each for name, each in said.held if name == family]
        found = [self.compare(asked, each) for each in held]
        if CONFIRM in found and family == "color" and found[0] != CONFIRM:
            return SILENT, None
        if CONFIRM in found:
            return CONFIRM, held[found.index(CONFIRM)]
        if family in BY_WORD and said.stems.issuperset(value.split()):
            return CONFIRM, value
        if CONTRADICT in found and SILENT not in found:
            return CONTRADICT, held[0]
        return SILENT, None


def explain(
    judge: ValueMatcher,
    asked: Sequence[Asked],
    product: Product,
    vetoing: Collection[tuple[Family, Source]],
) -> tuple[bool, str]:
    """Return whether a text that may veto contradicts the query, and the reasons in words.

    "type: sweatshirt = hoodie; colour: blue = navy, from the picture; audience: women, not men".
    Empty where the product is silent about all that is asked.
    """
    vetoed = False
    reasons: dict[str, None] = {}
    for each in asked:
        found = {source: judge.verdict(each, product[source]) for source in SOURCES}
        confirmed = any(verdict == CONFIRM for verdict, _ in found.values())
        told = False
        for source, (verdict, held) in found.items():
            against = verdict == CONTRADICT
            vetoed |= against and not confirmed and (each[0], source) in vetoing
            if against or (verdict == CONFIRM and not told):
                reasons[_reason(each, verdict, held, source)] = None
            told |= verdict == CONFIRM
    return vetoed, "; ".join(reasons)


def _reason(asked: Asked, verdict: int, held: str | None, source: Source) -> str:
    family, value = asked
    reason = f"{NAMES.get(family, family)}: {value}"
    if held != value:
        reason += f" = {held}" if verdict == CONFIRM else f", not {held}"
    return reason + (", from the picture" if source == "picture" else "")


def _types(asked: str, held: str) -> int:
    relation = core_word_relation(asked, held)
    if relation == "same":
        return CONFIRM
    if relation == "different":
        generic = [term.generic for word in (asked, held) if (term := core_term(word)) is not None]
        apart = "object" not in (places := (worn(asked), worn(held))) and len(set(places)) > 1
        return SILENT if any(generic) and not apart else CONTRADICT
    return CONFIRM if relation == "kind" and _is_kind(held, asked) else SILENT


def _is_kind(narrow: str, wide: str) -> bool:
    term = core_term(narrow)
    while term is not None and term.canonical != wide and term.broader is not None:
        term = core_term(term.broader)
    return term is not None and term.canonical == wide


def _colors(asked: str, held: str) -> int:
    basic, shown = color_family(asked), color_family(held)
    if basic is None or shown is None:
        return SILENT
    if basic == shown:
        return CONFIRM if asked == basic else SILENT  # navy is a blue; not every blue is navy
    return SILENT if colors_close(asked, held) else CONTRADICT


def _materials(asked: str, held: str) -> int:
    basic, shown = material_family(asked), material_family(held)
    if basic is None or shown is None:
        return SILENT
    if basic == shown:
        return CONFIRM if asked == basic else SILENT  # organic cotton is cotton
    return CONTRADICT


def _parameters(asked: str, held: str) -> int:
    """Two measures in one unit differ; other parameters say nothing of each other."""
    first, second = canonical_parameter(asked).casefold(), canonical_parameter(held).casefold()
    if first == second:
        return CONFIRM
    same_unit = _unit(first) == _unit(second) != ""
    return CONTRADICT if same_unit else SILENT


def _unit(parameter: str) -> str:
    return parameter.lstrip("0123456789.,/x× -") if parameter[:1].isdigit() else ""
