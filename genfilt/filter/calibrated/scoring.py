"""A calibration applied to queries and products: both sides of the inner product, and single pairs.

The products' side has a coordinate for each of the most frequent values. Rare values share the
rest: there a coordinate holds no less than any of its values scores, so that the join loses no
pair, and `ValueScores.overshoot` says by how much it raised one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.filter.calibrated.agreement_table import AgreementTable, family_numbers
from genfilt.filter.calibrated.attribute_values import FAMILIES, SOURCES, Asked
from genfilt.filter.calibrated.model import Calibration, Weight
from genfilt.filter.calibrated.query_values import Queries
from genfilt.filter.calibrated.title_models import (
    ClickCounts,
    Floats,
    Matrix,
    Rows,
    TitleModels,
    history,
)

COLUMNS = 256  # coordinates for asked values, the most frequent ones first
SHARED = 64  # of them, the last ones, that rare values share
PRODUCTS_AT_A_TIME = 4096
PAIRS_AT_A_TIME = 1 << 18

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Products:
    """F products as the rule sees them."""

    image: Matrix  # (F, D), unit rows
    title: Matrix  # (F, D), of the title's feature text
    whole: Matrix  # (F, D), of the title as written
    fold: Rows  # (F,) from the title's content: each title is told only by those of other folds
    agreement_table: AgreementTable
    counts: ClickCounts


def lone_contradictions(verdict: npt.NDArray[np.int8]) -> Marks:
    """Return where a text contradicts and the other does not confirm, of (2, ...) verdicts."""
    return np.asarray((verdict < 0) & ~(verdict > 0).any(axis=0))


class ValueScores:
    """s(f, v): what each product adds to the score of a query that asks for a value."""

    def __init__(
        self, calibration: Calibration, products: Products, values: Sequence[Asked]
    ) -> None:
        self.calibration, self.products = calibration, products
        self.family = family_numbers(values)
        self.taught = TitleModels.of(calibration.taught, products.whole, products.fold, values)
        weights = [calibration.families.get(name, Weight()) for name in FAMILIES]
        self._named = np.array([each.named for each in weights])
        self._confirm = np.array([each.confirm for each in weights]).T  # (2, families)
        self._contradict = np.array([each.contradict for each in weights]).T
        self._vetoes = np.array([each.vetoes for each in weights]).T
        self._history = np.array([each.history for each in weights])
        self._taught = np.array([each.taught for each in weights])
        own = COLUMNS - SHARED
        places = np.arange(len(values))
        self.column = np.where(places < own, places, own + places % SHARED)
        if len(values) <= COLUMNS:
            self.column = places
        self.columns = int(self.column.max(initial=-1)) + 1
        self.alone = np.bincount(self.column, minlength=self.columns)[self.column] == 1  # (V,)
        self._bounds = self._held_bounds()

    def at(self, f: Rows, v: Rows) -> Floats:
        """Return s(f, v) for rows and values that broadcast."""
        f, v = np.broadcast_arrays(f, v)
        verdict, family = self.products.agreement_table.at(f, v), self.family[v]
        score = self._named[family] + self._told(f, v, (verdict == 0).all(axis=0))
        for said, confirm, contradict in zip(verdict, self._confirm, self._contradict, strict=True):
            score += np.where(said > 0, confirm[family], np.where(said < 0, contradict[family], 0))
        return np.asarray(score)

    def told(self, f: Rows, v: Rows) -> Floats:
        """Return what the log adds: from the product's own history, where there is any.

        Else from the clicks on such titles, where title and picture are silent.
        """
        f, v = np.broadcast_arrays(f, v)
        return self._told(f, v, (self.products.agreement_table.at(f, v) == 0).all(axis=0))

    def _told(self, f: Rows, v: Rows, silent: Marks) -> Floats:
        own, family = history(*self.products.counts.at(f, v)), self.family[v]
        such = np.where(silent, self.taught.at(f, v) * self._taught[family], 0.0)
        return np.where(own != 0, own * self._history[family], such)

    def left(self, queries: Queries) -> Matrix:
        """Return the queries' side of the score, (Q, D + 1 + C)."""
        ones = np.ones((len(queries.vectors), 1), dtype=np.float32)
        asked = np.zeros((len(ones), self.columns), dtype=np.float32)
        for at in range(queries.asked.shape[1]):
            share = queries.share[:, at]
            use = np.flatnonzero(share)
            asked[use, self.column[queries.asked[use, at]]] += share[use]
        return np.hstack([queries.vectors, ones, asked])

    def right(self) -> Matrix:
        """Return the products' side of the score, (F, D + 1 + C)."""
        w1, w2, w3, bias = self.calibration.linear
        image, title = self.products.image, self.products.title
        size = image.shape[1]
        right = np.empty((len(image), size + 1 + self.columns), dtype=np.float32)
        for start in range(0, len(image), PRODUCTS_AT_A_TIME):
            part = slice(start, start + PRODUCTS_AT_A_TIME)
            right[part, :size] = w1 * image[part].astype(np.float64) + w2 * title[part]
            agreement = np.einsum("nd,nd->n", image[part], title[part], dtype=np.float64)
            right[part, size] = w3 * agreement + bias
            right[part, size + 1 :] = self._coordinates(np.arange(len(image))[part])
        return right

    def overshoot(self, queries: Queries, right: Matrix, q: Rows, f: Rows) -> Floats:
        """Return by how much shared coordinates raised each pair above its score, (K,)."""
        excess = np.zeros(len(q))
        if self.alone.all():
            return excess
        start = right.shape[1] - self.columns
        for part in _parts(len(q)):
            asked, share = queries.asked[q[part]], queries.share[q[part]]
            at, which = np.nonzero((share > 0) & ~self.alone[asked])
            v, rows = asked[at, which], f[part][at]
            over = right[rows, start + self.column[v]] - self.at(rows, v)
            excess[part] = np.bincount(at, weights=share[at, which] * over, minlength=len(asked))
        return excess

    def vetoed(self, queries: Queries, q: Rows, f: Rows) -> Marks:
        """Return which pairs are ruled out by a contradiction, (K,)."""
        out = np.zeros(len(q), dtype=bool)
        if not queries.asked.shape[1]:
            return out
        for part in _parts(len(q)):
            asked, share = queries.asked[q[part]], queries.share[q[part]]
            lone = lone_contradictions(self.products.agreement_table.at(f[part][:, None], asked))
            ruled = (lone & self._vetoes[:, self.family[asked]]).any(axis=0)
            out[part] = (ruled & (share > 0)).any(axis=1)
        return out

    def _coordinates(self, f: Rows) -> Floats:  # (n, C)
        """Return s(f, v) where v has a coordinate to itself, else no less than any of them."""
        found = np.full((len(f), self.columns), -np.inf)
        alone = np.flatnonzero(self.alone)
        found[:, self.column[alone]] = self.at(f[:, None], alone[None])
        if self.alone.all():
            return found
        for family, bounds in enumerate(self._bounds):
            if bounds is not None:
                rows = self.products.agreement_table.rows[:, family][:, f]
                said = sum(bounds[source][rows[source]] for source in range(len(SOURCES)))
                np.maximum(found, self._named[family] + said, out=found)
        nothing = len(self.calibration.taught)
        for value in np.flatnonzero(~self.alone & (self.taught.column != nothing)):
            column = found[:, self.column[value]]
            np.maximum(column, self.at(f, np.array(value)), out=column)
        rows, v = self._listed(f)
        np.maximum.at(found, (rows - f[0], self.column[v]), self.at(rows, v))
        return found

    def _listed(self, f: Rows) -> tuple[Rows, Rows]:
        """Return the (f, v) of shared coordinates that words or the log single out."""
        size = len(self.family)
        lists = (*self.products.agreement_table.worded, self.products.counts.keys)
        ends = [np.searchsorted(keys, (f[0] * size, (f[-1] + 1) * size)) for keys in lists]
        keys = np.unique(np.concatenate([k[a:b] for k, (a, b) in zip(lists, ends, strict=True)]))
        rows, v = np.divmod(keys, size)
        shared = ~self.alone[v]
        return rows[shared], v[shared]

    def _held_bounds(self) -> list[list[Floats] | None]:
        """Return for each family the most that each text adds in each shared coordinate.

        (U, C) for title and picture, -inf in coordinates without a value of the family.
        """
        bounds: list[list[Floats] | None] = []
        for family in range(len(FAMILIES)):
            values = np.flatnonzero(self.family == family)
            shared = values[~self.alone[values]]
            if not len(shared):
                bounds.append(None)
                continue
            places, columns = self.products.agreement_table.place[shared], self.column[shared]
            mine = []
            for source in range(len(SOURCES)):
                block = self.products.agreement_table.blocks[source][family][:, places]
                confirm, against = self._confirm[source, family], self._contradict[source, family]
                bound = np.full((len(block), self.columns), -np.inf)
                for column in np.unique(columns):
                    best = block[:, columns == column].max(axis=1)
                    bound[:, column] = np.where(best > 0, confirm, np.where(best < 0, against, 0))
                mine.append(bound)
            bounds.append(mine)
        return bounds


def _parts(count: int) -> list[slice]:
    return [slice(at, at + PAIRS_AT_A_TIME) for at in range(0, count, PAIRS_AT_A_TIME)]
