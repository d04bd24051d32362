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
    """Looks masks up for batches of query and product numbers."""

    def __init__(self, corrections: KnownPairs, contents: ProductContents) -> None:
        self.corrections = corrections
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
        features = self.contents.feature[products]
        positive = _found(self.corrections.query_product, queries, features, self._of_feature)
        known = self.corrections.verdicts
        row, entry = known.entries(queries)
        hit, at = self._of_product.find(products, known.values[entry])
        positive[at, row[hit]] = self.corrections.verdict_positive[entry[hit]]
        return positive


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
