"""What every product says to every asked value, kept by distinct texts.

Shoppers ask for tens of thousands of values, each for few: what a catalogue says of a family is
kept once for each distinct set of its values, and the words that texts and values share as a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.filter.calibrated.attribute_values import (
    FAMILIES,
    SOURCES,
    Asked,
    Family,
    Product,
    Said,
)
from genfilt.filter.calibrated.value_matching import (
    BY_WORD,
    CONFIRM,
    CONTRADICT,
    SILENT,
    ValueMatcher,
)

Rows = npt.NDArray[np.int64]
Table = npt.NDArray[np.int8]


@dataclass(frozen=True)
class AgreementTable:
    """`Judge.verdict` of each product's title and picture for each of V values.

    Attributes:
        family: (V,) place of each value's family in FAMILIES.
        place: (V,) place of each value among those of its family.
        rows: (2, len(FAMILIES), F) row of each product's text in its block.
        blocks: for each source and family, (U, values of the family).
        worded: for each source the f * V + v where the text has the words of the value, ascending.
    """

    family: Rows
    place: Rows
    rows: Rows
    blocks: tuple[tuple[Table, ...], ...]
    worded: tuple[Rows, Rows]

    def at(self, f: Rows, v: Rows) -> Table:
        """Return the verdicts of title and picture, (2, ...), for rows and values of one shape."""
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
        for source, worded in enumerate(self.worded):
            found[source, contains(worded, keys)] = CONFIRM
        return found


def family_numbers(values: Sequence[Asked]) -> Rows:
    """Return the place of each value's family in FAMILIES, (V,)."""
    return np.array([FAMILIES.index(family) for family, _ in values], dtype=np.int64)


def contains(ascending: Rows, wanted: Rows) -> npt.NDArray[np.bool_]:
    """Return which of `wanted` are in `ascending`."""
    if not len(ascending):
        return np.zeros(wanted.shape, dtype=bool)
    place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[place] == wanted)


def agreement_table(
    judge: ValueMatcher, values: Sequence[Asked], products: Sequence[Product]
) -> AgreementTable:
    """Judge all values by all products' texts."""
    family = family_numbers(values)
    place = np.zeros(len(values), dtype=np.int64)
    rows = np.zeros((len(SOURCES), len(FAMILIES), len(products)), dtype=np.int64)
    blocks: list[list[Table]] = [[] for _ in SOURCES]
    for at, name in enumerate(FAMILIES):
        columns = np.flatnonzero(family == at)
        place[columns] = np.arange(len(columns))
        wanted = [values[column] for column in columns.tolist()]
        for source, text in enumerate(SOURCES):
            held = [_held(product[text], name) for product in products]
            index = {each: row for row, each in enumerate(dict.fromkeys(held))}
            rows[source, at] = [index[each] for each in held]
            blocks[source].append(_block(judge, wanted, list(index), name))
    worded = [_worded(values, [product[text] for product in products]) for text in SOURCES]
    return AgreementTable(family, place, rows, tuple(map(tuple, blocks)), (worded[0], worded[1]))


def _held(said: Said, family: Family) -> tuple[str, ...]:
    return tuple(value for name, value in said.held if name == family)


def _block(
    judge: ValueMatcher, wanted: Sequence[Asked], sets: Sequence[tuple[str, ...]], family: Family
) -> Table:
    """Judge each value by each set of held values, as `Judge.verdict` does, words apart."""
    single = {value: row for row, value in enumerate(sorted({v for each in sets for v in each}))}
    compared = np.array(
        [[judge.compare(asked, value) for asked in wanted] for value in single], dtype=np.int8
    ).reshape(len(single), len(wanted))
    block = np.zeros((len(sets), len(wanted)), dtype=np.int8)
    for row, held in enumerate(sets):
        if held:
            found = compared[[single[value] for value in held]]
            against = (found == CONTRADICT).any(axis=0) & ~(found == SILENT).any(axis=0)
            block[row, against] = CONTRADICT
            confirmed = (found == CONFIRM).any(axis=0)
            own = found[0] == CONFIRM if family == "color" else confirmed
            block[row, confirmed] = np.where(own, CONFIRM, SILENT)[confirmed]
    return block


def _worded(values: Sequence[Asked], texts: Sequence[Said]) -> Rows:
    starts: dict[str, list[tuple[int, frozenset[str]]]] = {}
    for column, (family, value) in enumerate(values):
        words = value.split()
        if family in BY_WORD and words:
            starts.setdefault(words[0], []).append((column, frozenset(words)))
    found = [
        row * len(values) + column
        for row, said in enumerate(texts)
        for first in said.stems & starts.keys()
        for column, words in starts[first]
        if words <= said.stems
    ]
    return np.array(sorted(found), dtype=np.int64)
