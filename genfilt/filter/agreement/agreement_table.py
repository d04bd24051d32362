"""The agreement of every product's texts with every requested value, stored by distinct texts.

Queries request tens of thousands of values: the agreement of a family is stored once for each
distinct set of its values in the catalogue, and word matches as a sparse list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genfilt.common.arrays import Bools, Rows
from genfilt.filter.agreement.attribute_values import (
    FAMILIES,
    SOURCES,
    Family,
    Product,
    RequestedValue,
    TextValues,
)
from genfilt.filter.agreement.value_matching import (
    BY_WORD,
    BY_WORD_OF_PICTURE,
    CONFIRM,
    CONTRADICT,
    SILENT,
    ValueMatcher,
)

Table = npt.NDArray[np.int8]


@dataclass(frozen=True)
class AgreementTable:
    """`ValueMatcher.agreement` of each product's title and picture for each of V values.

    Attributes:
        family: (V,) index of each value's family in FAMILIES.
        place: (V,) index of each value among those of its family.
        rows: (2, len(FAMILIES), F) row of each product's text in its block.
        blocks: for each source and family, (U, values of the family).
        word_hits: for each source the f * V + v where the text contains the words of the value,
            ascending.
    """

    family: Rows
    place: Rows
    rows: Rows
    blocks: tuple[tuple[Table, ...], ...]
    word_hits: tuple[Rows, Rows]

    def at(self, f: Rows, v: Rows) -> Table:
        """Return the agreement of title and picture, (2, ...), for `f` and `v` that broadcast."""
        f, v = np.broadcast_arrays(f, v)
        found = np.zeros((len(SOURCES), *f.shape), dtype=np.int8)
        keys = f * len(self.family) + v
        of = self.family[v]
        for family in np.unique(of):
            chosen = of == family
            rows, places = f[chosen], self.place[v[chosen]]
            for source in range(len(SOURCES)):
                block = self.blocks[source][family]
                found[source, chosen] = block[self.rows[source, family, rows], places]
        for source, word_hits in enumerate(self.word_hits):
            found[source, contains(word_hits, keys)] = CONFIRM
        return found

    def without_pictures(self) -> AgreementTable:
        """Return the table with every picture silent."""
        rows = self.rows.copy()
        rows[1] = 0
        silent = tuple(np.zeros((1, block.shape[1]), dtype=np.int8) for block in self.blocks[1])
        nothing = np.zeros(0, dtype=np.int64)
        return replace(
            self,
            rows=rows,
            blocks=(self.blocks[0], silent),
            word_hits=(self.word_hits[0], nothing),
        )


def family_numbers(values: Sequence[RequestedValue]) -> Rows:
    """Return the index of each value's family in FAMILIES, (V,)."""
    return np.array([FAMILIES.index(family) for family, _ in values], dtype=np.int64)


def contains(ascending: Rows, wanted: Rows) -> Bools:
    """Return which of `wanted` are in `ascending`."""
    if not len(ascending):
        return np.zeros(wanted.shape, dtype=bool)
    place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[place] == wanted)


def agreement_table(
    matcher: ValueMatcher, values: Sequence[RequestedValue], products: Sequence[Product]
) -> AgreementTable:
    """Compare all values with all products' texts."""
    family = family_numbers(values)
    place = np.zeros(len(values), dtype=np.int64)
    rows = np.zeros((len(SOURCES), len(FAMILIES), len(products)), dtype=np.int64)
    blocks: list[list[Table]] = [[] for _ in SOURCES]
    for at, name in enumerate(FAMILIES):
        columns = np.flatnonzero(family == at)
        place[columns] = np.arange(len(columns))
        wanted = [values[column] for column in columns.tolist()]
        for source, text in enumerate(SOURCES):
            shown = [_family_values(product[text], name) for product in products]
            index = {each: row for row, each in enumerate(dict.fromkeys(shown))}
            rows[source, at] = [index[each] for each in shown]
            blocks[source].append(_block(matcher, wanted, list(index), name))
    title_hits, picture_hits = (
        _word_hits(values, [product[text] for product in products], families)
        for text, families in zip(SOURCES, (BY_WORD, BY_WORD_OF_PICTURE), strict=True)
    )
    return AgreementTable(
        family, place, rows, tuple(map(tuple, blocks)), (title_hits, picture_hits)
    )


def _family_values(text: TextValues, family: Family) -> tuple[str, ...]:
    return tuple(value for name, value in text.values if name == family)


def _block(
    matcher: ValueMatcher,
    wanted: Sequence[RequestedValue],
    sets: Sequence[tuple[str, ...]],
    family: Family,
) -> Table:
    """Compare each value with each set, as `ValueMatcher.agreement` does without words."""
    single = {value: row for row, value in enumerate(sorted({v for each in sets for v in each}))}
    compared = np.array(
        [[matcher.compare(requested, value) for requested in wanted] for value in single],
        dtype=np.int8,
    ).reshape(len(single), len(wanted))
    block = np.zeros((len(sets), len(wanted)), dtype=np.int8)
    for row, shown in enumerate(sets):
        if shown:
            found = compared[[single[value] for value in shown]]
            against = (found == CONTRADICT).any(axis=0) & ~(found == SILENT).any(axis=0)
            block[row, against] = CONTRADICT
            confirmed = (found == CONFIRM).any(axis=0)
            own = found[0] == CONFIRM if family == "color" else confirmed
            block[row, confirmed] = np.where(own, CONFIRM, SILENT)[confirmed]
    return block


def _word_hits(
    values: Sequence[RequestedValue], texts: Sequence[TextValues], families: Sequence[str]
) -> Rows:
    """Return the f * V + v of the families' values whose words a text contains, ascending."""
    starts: dict[str, list[tuple[int, frozenset[str]]]] = {}
    for column, (family, value) in enumerate(values):
        words = value.split()
        if family in families and words:
            starts.setdefault(words[0], []).append((column, frozenset(words)))
    found = [
        row * len(values) + column
        for row, text in enumerate(texts)
        for first in text.lemmas & starts.keys()
        for column, words in starts[first]
        if words <= text.lemmas
    ]
    return np.array(sorted(found), dtype=np.int64)
