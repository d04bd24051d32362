"""Shops that other libraries' trainers are compared on: rows, corrections, and measures of vectors.

A trainer gets a shop's train clicks and hands back vectors of the shop's queries and products; the
measures are those of `trainer ablate --design genfilt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Integers, Vectors
from genfilt.common.statistics import auc
from trainer.ablation.effect.truth import Truth, integers, load_truth, measure_truth
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.reading import columns, open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.encode import EncodedBenchmark
from trainer.evaluation.measures import finite
from trainer.evaluation.scorers import NumberedVectors, inner_product
from trainer.integrations.positives import Clicks, Positives

CORRECTIONS = """
SELECT DISTINCT q, p FROM positives
JOIN query_no USING (query_id) JOIN product_no USING (product_id)
WHERE source = 'genfilt' AND positives.split = 'train' ORDER BY q, p
"""
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Sides:
    """Unit vectors of a shop's queries (Q, D) and products (P, D), in the order of its numbers."""

    query: Vectors
    product: Vectors


@dataclass(frozen=True, eq=False)
class PeerShop:
    """What all arms of a shop share; hashed as an object, so that its pictures are read once."""

    db: Path
    clicks: Clicks
    corrected: Integers  # (N, 2) q and p of the corrections, train products alone
    catalogue: Catalogue
    benchmark: Benchmark
    truth: Truth | None

    @classmethod
    def read(cls, db: Path, truth: Path | None, lists: Path, split: str) -> PeerShop:
        """Read a database; the candidate lists of its split are kept in the folder `lists`.

        Raises:
            UserError: a file cannot be read, or there is no train click or nothing to measure.
        """
        clicks = Positives(db).clicks()
        with open_database(db) as connection:
            found = columns(connection, CORRECTIONS)
            return cls(
                db=db,
                clicks=clicks,
                corrected=np.stack([integers(found["q"]), integers(found["p"])], axis=1),
                catalogue=load_catalogue(connection),
                benchmark=load_benchmark(connection, lists, split),
                truth=None if truth is None else load_truth(connection, truth, split),
            )

    @property
    def queries(self) -> Integers:
        """The numbers q that are measured (Q,), sorted."""
        more = self.benchmark.query if self.truth is None else self.truth.queries
        return np.union1d(self.benchmark.query, more).astype(np.int32)

    @property
    def products(self) -> Integers:
        """The numbers p that are measured (P,), sorted."""
        more = self.benchmark.product if self.truth is None else self.truth.products
        return np.union1d(self.benchmark.product, more).astype(np.int32)

    @property
    def pictured(self) -> Integers:
        """The numbers p that are measured or clicked (N,), sorted."""
        return np.union1d(self.products, self.clicks.numbers[:, 1]).astype(np.int32)

    def query_texts(self, numbers: Integers) -> list[str]:
        """Return the queries of numbers (N,)."""
        return self.catalogue.texts(self.catalogue.queries, numbers)

    def titles(self, numbers: Integers) -> list[str]:
        """Return the titles of products (N,)."""
        return self.catalogue.texts(self.catalogue.titles, numbers)

    def pictures(self, numbers: Integers) -> list[str | None]:
        """Return the picture files of products (N,)."""
        paths: list[str | None] = self.catalogue.images.take(numbers).to_pylist()
        return paths

    def figures(self, sides: Sides, score: str) -> Figures:
        """Return the measures of vectors as "warm auc", "cold recall", "labels auc" and so on.

        Args:
            sides: of `queries` and `products`.
            score: "Q->T" or "Q->I", whichever the products' vectors are made of.
        """
        query = NumberedVectors(self.queries, sides.query)
        product = NumberedVectors(self.products, sides.product)
        scores = inner_product(query, product)(self.benchmark.query, self.benchmark.product)
        labels: Figures = {"labels auc": finite(auc(scores, self.benchmark.positive))}
        if self.truth is None:
            return labels
        # The measures ask for all sides of a model; here one vector stands for the product.
        encoded = EncodedBenchmark(query, product, product, product, 0, {})
        found: Figures = {}
        for kind in ("warm", "cold"):
            metrics = measure_truth(encoded, self.truth)[f"{kind} {score}"]
            found |= {f"{kind} auc": metrics.auc, f"{kind} recall": metrics.recall}
        return found | labels
