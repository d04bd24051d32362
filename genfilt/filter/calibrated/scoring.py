"""A calibration applied to queries and products: both sides of the inner product, and single pairs.

The products' side has a coordinate for each of the most frequent values. Rare values share the
other coordinates: each is an upper bound of the scores of its values, so that the join loses no
pair, and `ValueScores.overshoot` returns the excess over the exact score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.filter.agreement.agreement_table import AgreementTable, family_numbers
from genfilt.filter.agreement.attribute_values import FAMILIES, SOURCES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated.click_counts import ClickCounts, click_log_odds
from genfilt.filter.calibrated.model import Calibration, Weight
from genfilt.filter.calibrated.title_models import TitleModels

COLUMNS = 256  # coordinates for requested values, the most frequent ones first
SHARED = 64  # of them, the last ones, that rare values share
PRODUCTS_AT_A_TIME = 4096
PAIRS_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class Products:
    """The rule's inputs for F products."""

    image: Vectors  # (F, D), unit rows
    title: Vectors  # (F, D), of the title's feature text
    written: Vectors  # (F, D), of the title as written
    fold: Rows  # (F,) of the title; its title models were fitted on the other folds
    agreement_table: AgreementTable
    counts: ClickCounts


def unopposed_contradictions(agreement: npt.NDArray[np.int8]) -> Bools:
    """Return where a text contradicts and the other does not confirm, (2, ...)."""
    return np.asarray((agreement < 0) & ~(agreement > 0).any(axis=0))


class ValueScores:
    """s(f, v): what each product adds to the score of a query that requests a value."""

    def __init__(
        self, calibration: Calibration, products: Products, values: Sequence[RequestedValue]
    ) -> None:
        self.calibration, self.products = calibration, products
        self.family = family_numbers(values)
        self.title_models = TitleModels.of(
            calibration.title_models, products.written, products.fold, values
        )
        weights = [calibration.families.get(name, Weight()) for name in FAMILIES]
        self._requested = np.array([each.requested for each in weights])
        self._confirm = np.array([each.confirm for each in weights]).T  # (2, families)
        self._contradict = np.array([each.contradict for each in weights]).T
        self._vetoes = np.array([each.vetoes for each in weights]).T
        self._clicks = np.array([each.clicks for each in weights])
        self._title_model = np.array([each.title_model for each in weights])
        own = COLUMNS - SHARED
        places = np.arange(len(values))
        self.column = np.where(places < own, places, own + places % SHARED)
        if len(values) <= COLUMNS:
            self.column = places
        self.columns = int(self.column.max(initial=-1)) + 1
        self.single = np.bincount(self.column, minlength=self.columns)[self.column] == 1  # (V,)
        self._bounds = self._text_bounds()

    def at(self, f: Rows, v: Rows) -> Floats:
        """Return s(f, v) for rows and values that broadcast."""
        f, v = np.broadcast_arrays(f, v)
        agreement, family = self.products.agreement_table.at(f, v), self.family[v]
        score = self._requested[family] + self._from_clicks(f, v, (agreement == 0).all(axis=0))
        for text, confirm, contradict in zip(
            agreement, self._confirm, self._contradict, strict=True
        ):
            score += np.where(text > 0, confirm[family], np.where(text < 0, contradict[family], 0))
        return np.asarray(score)

    def from_clicks(self, f: Rows, v: Rows) -> Floats:
        """Return the part of s(f, v) that comes from clicks.

        The product's own click log odds; without clicks, and where title and picture are silent,
        the logit of the title model.
        """
        f, v = np.broadcast_arrays(f, v)
        return self._from_clicks(f, v, (self.products.agreement_table.at(f, v) == 0).all(axis=0))

    def _from_clicks(self, f: Rows, v: Rows, silent: Bools) -> Floats:
        own, family = click_log_odds(*self.products.counts.at(f, v)), self.family[v]
        titles = np.where(silent, self.title_models.at(f, v) * self._title_model[family], 0.0)
        return np.where(own != 0, own * self._clicks[family], titles)

    def left(self, queries: Queries) -> Vectors:
        """Return the queries' side of the score, (Q, D + 1 + C)."""
        ones = np.ones((len(queries.vectors), 1), dtype=np.float32)
        requested = np.zeros((len(ones), self.columns), dtype=np.float32)
        for at in range(queries.requested.shape[1]):
            share = queries.share[:, at]
            use = np.flatnonzero(share)
            requested[use, self.column[queries.requested[use, at]]] += share[use]
        return np.hstack([queries.vectors, ones, requested])

    def right(self) -> Vectors:
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

    def overshoot(self, queries: Queries, right: Vectors, q: Rows, f: Rows) -> Floats:
        """Return the excess of each pair's inner product over its exact score, (K,)."""
        excess = np.zeros(len(q))
        if self.single.all():
            return excess
        start = right.shape[1] - self.columns
        for part in _parts(len(q)):
            requested, share = queries.requested[q[part]], queries.share[q[part]]
            at, which = np.nonzero((share > 0) & ~self.single[requested])
            v, rows = requested[at, which], f[part][at]
            over = right[rows, start + self.column[v]] - self.at(rows, v)
            excess[part] = np.bincount(
                at, weights=share[at, which] * over, minlength=len(requested)
            )
        return excess

    def vetoed(self, queries: Queries, q: Rows, f: Rows) -> Bools:
        """Return which pairs are ruled out by a contradiction, (K,)."""
        out = np.zeros(len(q), dtype=bool)
        if not queries.requested.shape[1]:
            return out
        for part in _parts(len(q)):
            requested, share = queries.requested[q[part]], queries.share[q[part]]
            opposed = unopposed_contradictions(
                self.products.agreement_table.at(f[part][:, None], requested)
            )
            ruled = (opposed & self._vetoes[:, self.family[requested]]).any(axis=0)
            out[part] = (ruled & (share > 0)).any(axis=1)
        return out

    def _coordinates(self, f: Rows) -> Floats:  # (n, C)
        """Return s(f, v) where v has its own coordinate, else a bound of all that share it."""
        found = np.full((len(f), self.columns), -np.inf)
        single = np.flatnonzero(self.single)
        found[:, self.column[single]] = self.at(f[:, None], single[None])
        if self.single.all():
            return found
        for family, bounds in enumerate(self._bounds):
            if bounds is not None:
                rows = self.products.agreement_table.rows[:, family][:, f]
                bound = sum(bounds[source][rows[source]] for source in range(len(SOURCES)))
                np.maximum(found, self._requested[family] + bound, out=found)
        nothing = len(self.calibration.title_models)
        for value in np.flatnonzero(~self.single & (self.title_models.column != nothing)):
            column = found[:, self.column[value]]
            np.maximum(column, self.at(f, np.array(value)), out=column)
        rows, v = self._listed(f)
        np.maximum.at(found, (rows - f[0], self.column[v]), self.at(rows, v))
        return found

    def _listed(self, f: Rows) -> tuple[Rows, Rows]:
        """Return the (f, v) of shared coordinates that have word hits or click counts."""
        size = len(self.family)
        lists = (*self.products.agreement_table.word_hits, self.products.counts.keys)
        ends = [np.searchsorted(keys, (f[0] * size, (f[-1] + 1) * size)) for keys in lists]
        keys = np.unique(np.concatenate([k[a:b] for k, (a, b) in zip(lists, ends, strict=True)]))
        rows, v = np.divmod(keys, size)
        shared = ~self.single[v]
        return rows[shared], v[shared]

    def _text_bounds(self) -> list[list[Floats] | None]:
        """Return for each family the largest score of each text in each shared coordinate.

        (U, C) for title and picture, -inf in coordinates without a value of the family.
        """
        bounds: list[list[Floats] | None] = []
        for family in range(len(FAMILIES)):
            values = np.flatnonzero(self.family == family)
            shared = values[~self.single[values]]
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
