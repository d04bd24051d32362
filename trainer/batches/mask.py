"""Which columns of a batch are positive for which rows: the masks of eq. 1 and 2.

Inside, a mask lies column by column, (columns, rows): to spread distinct products over the batch
is then to copy whole lines of memory. What is returned is its transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genfilt.common.arrays import Integers
from trainer.database.catalogue import ProductContents
from trainer.database.known_pairs import KnownPairs, SparseRows

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class QueryMasks:
    """P(i) in each modality, (B, G); a column counts as the one that it equals there."""

    title: Mask
    image: Mask
    fused: Mask


class Masks:
    """Looks masks up for batches of query and product numbers.

    Args:
        corrections: verdicts of train and genfilt's corrections.
        contents: what the products are made of.
        drop: corrected (query, product) pairs are not positive; they leave the denominator, as
            other tools treat suspected false negatives.
    """

    def __init__(
        self, corrections: KnownPairs, contents: ProductContents, *, drop: bool = False
    ) -> None:
        self.corrections = corrections
        self.drop = drop
        self.contents = contents
        self._of_product = CorrectionIndex(max(len(contents.title), corrections.verdicts.bound))
        self._of_feature = CorrectionIndex(
            max(_bound(contents.feature), corrections.query_product.bound)
        )
        self._of_title = CorrectionIndex(
            max(_bound(contents.feature_title), corrections.image_title.bound)
        )

    def queries(self, queries: Integers, products: Integers) -> QueryMasks:
        """Return P(i) of queries (B,) over the columns' products (G,), for T, I and M."""
        distinct, column = np.unique(products, return_inverse=True)
        positive = self._positive(queries, distinct)  # (distinct, B)
        return QueryMasks(
            title=_spread(positive, self.contents.title[distinct], column),
            image=_spread(positive, self.contents.image[distinct], column),
            fused=positive[column].T,
        )

    def ignored(self, queries: Integers, products: Integers) -> QueryMasks | None:
        """Return the columns that leave each query's denominator, for T, I and M; None if none can.

        Where a column is positive too, it stays.
        """
        if not self.drop:
            return None
        distinct, column = np.unique(products, return_inverse=True)
        dropped = self._corrected(queries, distinct)
        self._override(dropped, queries, distinct, verdict=False)
        return QueryMasks(
            title=_spread(dropped, self.contents.title[distinct], column),
            image=_spread(dropped, self.contents.image[distinct], column),
            fused=dropped[column].T,
        )

    def image_title(self, products: Integers) -> Mask:
        """Return (B, B): does image a match title b, for the products of both."""
        contents = self.contents
        images, texts = contents.feature_image[products], contents.feature_title[products]
        mask = _found(self.corrections.image_title, images, texts, self._of_title).T
        for content in (contents.title[products], contents.image[products], products):
            mask |= content[:, None] == content[None]
        return mask

    def _positive(self, queries: Integers, products: Integers) -> Mask:
        """Return Positive(q, p), (C, B), for queries (B,) and distinct products (C,)."""
        if self.drop:
            positive = np.zeros((len(products), len(queries)), dtype=np.bool_)
        else:
            positive = self._corrected(queries, products)
        self._override(positive, queries, products)
        return positive

    def _corrected(self, queries: Integers, products: Integers) -> Mask:
        """Return (C, B): is the pair of a query and a distinct product corrected."""
        features = self.contents.feature[products]
        return _found(self.corrections.query_product, queries, features, self._of_feature)

    def _override(
        self, mask: Mask, queries: Integers, products: Integers, verdict: bool | None = None
    ) -> None:
        """Set the pairs (C, B) that have a verdict to it, or to the one that is given."""
        known = self.corrections.verdicts
        row, entry = known.entries(queries)
        hit, at = self._of_product.find(products, known.values[entry])
        values = self.corrections.verdict_positive[entry[hit]]
        mask[at, row[hit]] = values if verdict is None else verdict


class CorrectionIndex:
    """Finds where numbers below `bound` stand in a short array, by a table that it reuses."""

    def __init__(self, bound: int) -> None:
        self._table = np.full(bound + 1, -1, dtype=np.int32)  # the last serves the number -1

    def find(self, distinct: Integers, values: Integers) -> tuple[NDArray[np.intp], Integers]:
        """Return (hit, at): values[hit] are those among distinct, and stand at distinct[at]."""
        self._table[distinct] = np.arange(len(distinct), dtype=np.int32)
        self._table[-1] = -1
        at = self._table[values]
        self._table[distinct] = -1
        hit = np.flatnonzero(at >= 0)
        return hit, at[hit]


def _bound(values: Integers) -> int:
    return int(values.max(initial=-1)) + 1


def _found(pairs: SparseRows, rows: Integers, wanted: Integers, places: CorrectionIndex) -> Mask:
    """Return (C, B): is wanted[c] among the values of rows[b]."""
    distinct, column = np.unique(wanted, return_inverse=True)
    row, entry = pairs.entries(rows)
    hit, at = places.find(distinct, pairs.values[entry])
    mask = np.zeros((len(distinct), len(rows)), dtype=np.bool_)
    mask[at, row[hit]] = True
    return mask[column]


def _spread(positive: Mask, content: Integers, column: NDArray[np.int64]) -> Mask:
    """Return (B, G): is a product of the column's content among the row's positives (C, B)."""
    groups, group = np.unique(content, return_inverse=True)
    if len(groups) == len(content):
        return positive[column].T
    hit = np.zeros((len(groups), positive.shape[1]), dtype=np.bool_)
    place, row = np.divmod(np.flatnonzero(positive), positive.shape[1])
    hit[group[place], row] = True
    return hit[group[column]].T
