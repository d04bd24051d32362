"""False negatives in a batch, and the share of the relevant pairs that are in the log."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

from genfilt.common.arrays import Bools, Integers, Rows
from trainer.ablation.effect.truth import PRODUCTS, integers, pair_matrix
from trainer.database.catalogue import Catalogue, load_rows
from trainer.database.reading import columns

POSITIVE = "SELECT DISTINCT q, p FROM verdicts WHERE split = 'train' AND positive"


@dataclass(frozen=True)
class ClickedPairs:
    """Train clicks as places in their queries (Q,) and all train products (P,); known pairs."""

    queries: Integers
    products: Integers
    query: Rows  # (N,) into queries
    product: Rows  # (N,) into products
    feature: Integers  # (P,) f of each product, -1 where there is none
    known: Bools  # (Q, P) positive by a train verdict

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> ClickedPairs:
        """Read the rows of stage 2.

        Raises:
            UserError: the database has no train click.
        """
        rows, _ = load_rows(connection, 2, catalogue)
        queries, query = np.unique(rows.query, return_inverse=True)
        train = integers(columns(connection, PRODUCTS.format(split="train"))["p"])
        products = np.union1d(train, rows.product).astype(np.int32)
        known = columns(connection, POSITIVE)
        return cls(
            queries=queries,
            products=products,
            query=query,
            product=np.searchsorted(products, rows.product),
            feature=catalogue.contents.feature[products],
            known=pair_matrix(queries, products, integers(known["q"]), integers(known["p"])),
        )

    def corrected(self, pairs: Integers) -> Bools:
        """Return (Q, P): which pairs (q, f), (N, 2), stand for."""
        width = int(max(self.feature.max(initial=0), pairs[:, 1].max(initial=0))) + 1
        codes = pairs[:, 0].astype(np.int64) * width + pairs[:, 1]
        own = self.queries[:, None].astype(np.int64) * width + self.feature[None]
        found: Bools = np.isin(own, codes) & (self.feature >= 0)[None]
        return found

    def known_share(self, relevant: Bools) -> float:
        """Return the share of the relevant pairs (Q, P) that verdicts hold."""
        return float((self.known & relevant).sum() / max(int(relevant.sum()), 1))

    def false_negatives(self, relevant: Bools, corrected: Bools, batch_size: int) -> float:
        """Return the expected relevant columns a row that a random batch counts as negatives."""
        wrong = relevant & ~self.known & ~corrected
        columns_of_product = np.bincount(self.product, minlength=len(self.products))
        per_query = wrong @ columns_of_product / len(self.product)
        return float(per_query[self.query].mean() * (batch_size - 1))
