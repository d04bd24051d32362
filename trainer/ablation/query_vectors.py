"""One query's vectors by a model, which Figure 5 shows: the query, and sides of its products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Integers, Signs, Vectors
from genfilt.common.atomic import replaced
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import VectorsOfQuery

VECTORS = "vectors.npz"
QUERY = "query"
SIDES = ("title", "image", "fused")


@dataclass(frozen=True)
class QueryVectors:
    """A query (D,) and the sides (N, D) of its products that a model has, with their kinds (N,).

    A kind is 1 of a relevant product, -1 of one that is labelled otherwise and 0 of one that was
    drawn from the catalogue.
    """

    q: int
    query: Vectors
    sides: Mapping[str, Vectors]
    kinds: Signs

    @classmethod
    def of(cls, vectors: VectorsOfQuery, benchmark: Benchmark) -> QueryVectors:
        """Return a model's vectors of the shown query, and of products in its labels and lists."""
        q = shown_query(benchmark)
        products, kinds = _products(benchmark, q)
        found = dict(vectors(q, products))
        return cls(q, found.pop(QUERY), found, kinds)

    def save(self, folder: Path) -> None:
        """Keep the vectors in a run's folder."""
        with replaced(folder / VECTORS) as part, part.open("wb") as file:
            kept = {"q": np.array(self.q), "query": self.query, "kinds": self.kinds, **self.sides}
            np.savez_compressed(file, allow_pickle=False, **kept)

    @classmethod
    def load(cls, folder: Path) -> QueryVectors:
        """Return what `save` kept."""
        with np.load(folder / VECTORS) as kept:
            sides = {name: kept[name] for name in SIDES if name in kept}
            return cls(int(kept["q"]), kept["query"], sides, kept["kinds"])


def shown_query(benchmark: Benchmark) -> int:
    """Return the query that Figure 5 shows: the one with the most lists, then the smallest."""
    queries, lists = np.unique(benchmark.candidate_query, return_counts=True)
    return int(queries[np.argmax(lists)]) if len(queries) else int(benchmark.query[0])


def _products(benchmark: Benchmark, q: int) -> tuple[Integers, Signs]:
    listed = benchmark.candidates[benchmark.candidate_query == q]
    mine = benchmark.query == q
    labelled, positive = benchmark.product[mine], benchmark.positive[mine]
    products = np.unique(np.concatenate([listed[listed >= 0], labelled])).astype(np.int32)
    kinds = np.zeros(len(products), dtype=np.int8)
    kinds[np.isin(products, labelled[~positive])] = -1
    kinds[np.isin(products, labelled[positive])] = 1
    kinds[np.isin(products, listed[:, 0])] = 1
    return products, kinds
