"""Simulated clicks and relevance labels, drawn from the generated truth."""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from genfilt.synth.facets import Facets, Need
from genfilt.synth.shopper_queries import Query

CLICKS_PER_PRODUCT = 5
CLICK_NOISE = 0.05
LABELS_PER_QUERY = 10
SPLITS = ("train", "val", "test")

Numbers = npt.NDArray[np.int64]  # (K,) product numbers, ascending where they are whole sets
_NOTHING: Numbers = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Label:
    """A relevance label of one product for a query; `grade` is the assessor's word."""

    product: int
    label: int
    grade: str


class FacetIndex:
    """All products as columns of facet codes (24 bytes a product), searchable by need."""

    def __init__(self, products: int) -> None:
        self._names = [field.name for field in fields(Facets)]
        self._codes = {name: np.zeros(products, dtype=np.int16) for name in self._names}
        self._code_of: dict[str | None, int] = {}
        self.splits = np.zeros(products, dtype=np.int8)
        self._of_type: dict[int, Numbers] = {}
        self._of_category: dict[int, Numbers] = {}

    def add(self, number: int, facets: Facets, split: str) -> None:
        """Store one product's facets and split under its number."""
        for name in self._names:
            value = getattr(facets, name)
            self._codes[name][number] = self._code_of.setdefault(value, len(self._code_of))
        self.splits[number] = SPLITS.index(split)

    def sample(self, train: bool, count: int, seed: int) -> list[Facets]:
        """Return the facets of up to `count` products of the train split, or of the others."""
        numbers = np.flatnonzero((self.splits == 0) == train)
        rng = np.random.default_rng([seed, 2, int(train)])
        chosen = rng.permutation(numbers)[:count]
        values = list(self._code_of)
        columns = [[values[code] for code in self._codes[name][chosen]] for name in self._names]
        return [Facets(*row) for row in zip(*columns, strict=True)]

    def matching(self, need: Need) -> Numbers:
        """Return the products that have every facet that the need names."""
        if need.type is None:
            found = np.arange(len(self.splits))
        else:
            code = self._code(need.type)
            if code not in self._of_type:
                self._of_type[code] = np.flatnonzero(self._codes["type"] == code)
            found = self._of_type[code]
        for name in ("brand", "material", "pattern", "gender", "model"):
            if (value := getattr(need, name)) is not None:
                found = found[self._codes[name][found] == self._code(value)]
        if need.color is not None:
            code = self._code(need.color)
            exact = self._codes["color"][found] == code
            found = found[exact | (self._codes["color_family"][found] == code)]
        return found

    def neighbours(self, need: Need) -> Numbers:
        """Return the products of the category that the needed type belongs to."""
        category = self._codes["category"][self.matching(Need(type=need.type))[0]]
        if int(category) not in self._of_category:
            self._of_category[int(category)] = np.flatnonzero(self._codes["category"] == category)
        return self._of_category[int(category)]

    def _code(self, value: str) -> int:
        return self._code_of.get(value, -1)


class Shoppers:
    """Draws clicks and labels for one query after another.

    The popularity of products and queries follows Zipf's law. A held-out query has clicks and
    labels on val and test products alone, so that its words occur in no train row.
    """

    def __init__(self, index: FacetIndex, queries: int, seed: int) -> None:
        self._index = index
        self._rng = np.random.default_rng([seed, 1])
        products = len(index.splits)
        self._popularity = _zipf(products, 0.8, self._rng)
        self._measured = np.flatnonzero(index.splits > 0)
        traffic = _zipf(queries, 0.7, self._rng)
        spare = max(0, CLICKS_PER_PRODUCT * products - 2 * queries)
        self._sessions = 2 + np.floor(traffic / traffic.sum() * spare).astype(np.int64)

    def clicks_and_labels(self, query: Query) -> tuple[list[tuple[int, int]], list[Label]]:
        """Return the clicks (product, count) of a query and its labels."""
        exact = self._visible(self._index.matching(query.need), query)
        relaxed = self._visible(self._relaxed(query.need), query)
        near = _without(self._drawn(relaxed, 8 * LABELS_PER_QUERY), exact)
        far = _without(self._anything(query, 2 * LABELS_PER_QUERY), exact)
        return self._clicks(query, exact, near), self._labels(exact, near, _without(far, relaxed))

    def _visible(self, numbers: Numbers, query: Query) -> Numbers:
        return numbers[self._index.splits[numbers] > 0] if query.held_out else numbers

    def _relaxed(self, need: Need) -> Numbers:
        """The products of the need without one of its facets; of a type alone, its category's."""
        named = [field.name for field in fields(Need) if getattr(need, field.name) is not None]
        if named == ["type"]:
            return self._index.neighbours(need)
        others = [name for name in named if name != "type"]
        dropped = others[int(self._rng.integers(len(others)))]
        return self._index.matching(replace(need, **{dropped: None})) if need.type else _NOTHING

    def _anything(self, query: Query, count: int) -> Numbers:
        pool = self._measured if query.held_out else len(self._index.splits)
        return self._rng.choice(pool, count)

    def _drawn(self, numbers: Numbers, count: int) -> Numbers:
        return self._rng.choice(numbers, count) if len(numbers) else numbers

    def _clicks(self, query: Query, exact: Numbers, near: Numbers) -> list[tuple[int, int]]:
        sessions = int(self._sessions[query.number])
        noisy = int(self._rng.binomial(sessions, CLICK_NOISE))
        nearly = int(self._rng.binomial(noisy, 0.6)) if len(near) else 0
        weights = self._popularity[exact]
        clicked = [
            self._rng.choice(exact, sessions - noisy, p=weights / weights.sum()),
            self._drawn(near, nearly),
            self._anything(query, noisy - nearly),
        ]
        numbers, counts = np.unique(np.concatenate(clicked), return_counts=True)
        return list(zip(numbers.tolist(), counts.tolist(), strict=True))

    def _labels(self, exact: Numbers, near: Numbers, far: Numbers) -> list[Label]:
        """As many negatives as positives, half of them hard unless the need is a brand alone."""
        positives = self._some(exact, LABELS_PER_QUERY // 2)
        hard = self._some(near, (len(positives) + 1) // 2)
        easy = self._some(far, len(positives) - len(hard))
        return [
            *(Label(number, 1, "exact") for number in positives),
            *(Label(number, 0, "partial") for number in hard),
            *(Label(number, 0, "irrelevant") for number in easy),
        ]

    def _some(self, numbers: Numbers, count: int) -> list[int]:
        chosen = self._rng.choice(len(numbers), min(count, len(numbers)), replace=False)
        return [int(number) for number in numbers[chosen]]


def _without(numbers: Numbers, sorted_others: Numbers) -> Numbers:
    """The distinct numbers that are not among the others."""
    distinct: Numbers = np.unique(numbers)
    if not len(sorted_others):
        return distinct
    places = np.searchsorted(sorted_others, distinct).clip(max=len(sorted_others) - 1)
    kept: Numbers = distinct[sorted_others[places] != distinct]
    return kept


def _zipf(count: int, power: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Weights (count,) by Zipf's law, the ranks dealt at random."""
    return np.asarray((rng.permutation(count) + 1.0) ** -power)
