"""The attribute values that queries request, by what the catalogue's titles say of their words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from genfilt.filter.agreement.attribute_values import (
    Product,
    RequestedValue,
    query_words,
    values_of_query,
)
from genfilt.generators.protocols import Attributes

MIN_QUALIFIER_SHARE = 0.3  # of a type's titles that have a word, from which it qualifies the type


@dataclass(frozen=True)
class RequestWords:
    """What a catalogue's titles say of the words that queries request.

    Attributes:
        unknown: words that no product has, though the train log has them ("cheap", "online").
        qualifying: (word, type) where many titles of the type have the word.
    """

    unknown: frozenset[str]
    qualifying: frozenset[tuple[str, str]]

    @classmethod
    def of(
        cls,
        found: Sequence[tuple[RequestedValue, ...]],
        logged: Collection[int],
        products: Sequence[Product],
    ) -> RequestWords:
        """Learn them.

        Args:
            found: the values of each query, by `values_of_query`.
            logged: rows of the queries that the train log has.
            products: the values of the products' texts.
        """
        lemmas = {
            lemma for product in products for text in product.values() for lemma in text.lemmas
        }
        words = {word for row in logged for family, word in found[row] if family == "words"}
        return cls(frozenset(words - lemmas), _qualifying(found, products))

    def as_dict(self) -> dict[str, object]:
        """Return what JSON has."""
        return {"unknown": sorted(self.unknown), "qualifying": sorted(map(list, self.qualifying))}

    @classmethod
    def from_dict(cls, unknown: Sequence[str], qualifying: Sequence[list[str]]) -> RequestWords:
        """Rebuild from the values of `as_dict`."""
        return cls(frozenset(unknown), frozenset((word, kind) for word, kind in qualifying))

    def requested(self, text: str, found: Sequence[RequestedValue]) -> tuple[RequestedValue, ...]:
        """Return the values that a query requests, of those found in its text and attributes.

        Words that no product has carry no information where the train log has them and are dropped;
        such a word of a query without clicks may be what the query is about, and is kept, confirmed
        by nothing.
        """
        kept = [
            (family, word)
            for family, word in found
            if family != "words" or word not in self.unknown
        ]
        return (*self._moved(kept), *query_words(text))

    def _moved(self, found: Sequence[RequestedValue]) -> tuple[RequestedValue, ...]:
        types = [kind for family, kind in found if family == "type"]
        return tuple(
            ("qualifier", word)
            if family == "words" and any((word, kind) in self.qualifying for kind in types)
            else (family, word)
            for family, word in found
        )


def found_values(
    queries: Sequence[str], attributes: Sequence[Attributes | None]
) -> list[tuple[RequestedValue, ...]]:
    """Return the values in the text and the attributes of each query."""
    return [values_of_query(*pair) for pair in zip(queries, attributes, strict=True)]


def qualified(
    requested: Sequence[tuple[RequestedValue, ...]], product_values: Sequence[Product]
) -> list[tuple[RequestedValue, ...]]:
    """Move words that many products of the requested type have to the family "qualifier".

    Half of all shirts are "button-up" ones: a word of more than MIN_QUALIFIER_SHARE of the titles
    of the requested type carries less information than a rare one, and has weights of its own.
    """
    words = RequestWords(frozenset(), _qualifying(requested, product_values))
    return [words._moved(each) for each in requested]


def _qualifying(
    requested: Sequence[tuple[RequestedValue, ...]], products: Sequence[Product]
) -> frozenset[tuple[str, str]]:
    titles: dict[str, list[frozenset[str]]] = {}
    for product in products:
        for family, kind in product["title"].values:
            if family == "type":
                titles.setdefault(kind, []).append(product["title"].lemmas)

    @cache
    def qualifies(word: str, kind: str) -> bool:
        of_kind = titles.get(kind, [])
        return sum(word in lemmas for lemmas in of_kind) > MIN_QUALIFIER_SHARE * len(of_kind)

    pairs = {
        (word, kind)
        for wanted in requested
        for family, word in wanted
        if family == "words"
        for other, kind in wanted
        if other == "type"
    }
    return frozenset(pair for pair in pairs if qualifies(*pair))
