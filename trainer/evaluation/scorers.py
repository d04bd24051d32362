"""Scorers of numbered (query, product) pairs, made of vectors or of tables of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Floats, Integers, Vectors
from trainer.evaluation.candidates import Benchmark

PAIRS_AT_ONCE = 1 << 16  # vectors of so many pairs are in memory at once
Scorer = Callable[[Integers, Integers], Floats]
"""(queries (N,), products (N,)) -> scores (N,): what a model, or a baseline, is measured by."""
VectorsOfQuery = Callable[[int, Integers], Mapping[str, Vectors]]
"""(q, products (N,)) -> "query" (D,) and sides (N, D) of the products: title, image, fused."""


@dataclass(frozen=True)
class NumberedVectors:
    """Unit vectors (N, D) of queries or products by number; `numbers` (N,) is sorted."""

    numbers: Integers
    values: Vectors

    def at(self, numbers: Integers) -> Vectors:
        """Return the vectors (M, D) of numbers (M,), all of them known."""
        return self.values[np.searchsorted(self.numbers, numbers)]


def inner_product(left: NumberedVectors, right: NumberedVectors) -> Scorer:
    """Return the scorer that is the inner product of a query's and a product's vector."""

    def score(queries: Integers, products: Integers) -> Floats:
        pairs = np.einsum("nd,nd->n", left.at(queries), right.at(products), dtype=np.float64)
        return np.asarray(pairs, dtype=np.float64)

    return score


def added(first: Scorer, second: Scorer) -> Scorer:
    """Return the scorer that is the sum of two."""
    return lambda queries, products: first(queries, products) + second(queries, products)


def tabulated(queries: Integers, products: Integers, scores: Floats) -> Scorer:
    """Return the scorer that looks scores (N,) up, of pairs (N,) sorted by query and product."""
    width = int(products.max(initial=0)) + 1
    key = queries.astype(np.int64) * width + products

    def score(q: Integers, p: Integers) -> Floats:
        return scores[np.searchsorted(key, q.astype(np.int64) * width + p)]

    return score


def pairs_of(benchmark: Benchmark) -> tuple[Integers, Integers]:
    """Return the distinct (q, p) of a benchmark's labels and candidate lists, sorted."""
    row, column = np.nonzero(benchmark.candidates >= 0)
    queries = np.concatenate([benchmark.query, benchmark.candidate_query[row]])
    products = np.concatenate([benchmark.product, benchmark.candidates[row, column]])
    both = np.unique(np.stack([queries, products]), axis=1)
    return both[0].astype(np.int32), both[1].astype(np.int32)


def score_lists(scorer: Scorer, benchmark: Benchmark) -> Floats:
    """Return the scores (N, C) of the candidate lists, -inf where a list is shorter."""
    scores = np.full(benchmark.candidates.shape, -np.inf)
    row, column = np.nonzero(benchmark.candidates >= 0)
    queries, products = benchmark.candidate_query[row], benchmark.candidates[row, column]
    for start in range(0, len(row), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        scores[row[part], column[part]] = scorer(queries[part], products[part])
    return scores
