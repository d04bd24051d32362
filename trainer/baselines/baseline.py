"""The interface of all baselines, their data, and batches of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import duckdb
import numpy as np
import torch

from genfilt.common.arrays import Floats, Integers
from genfilt.common.arrays import Rows as RowNumbers
from genfilt.common.errors import UserError
from trainer.database.catalogue import Catalogue, Rows, load_rows
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import Scorer, VectorsOfQuery, pairs_of, tabulated

SCRATCH = "small, from scratch"


@dataclass(frozen=True)
class Material:
    """All that a baseline reads; it trains on `train` alone."""

    catalogue: Catalogue
    benchmark: Benchmark
    train: Rows  # train clicks and labels
    seed: int
    val: Benchmark | None = None
    """What a trained baseline's epochs are judged by."""

    @property
    def pairs(self) -> tuple[Integers, Integers]:
        """The distinct (q, p) that are scored, sorted."""
        return pairs_of(self.benchmark)


@dataclass(frozen=True)
class BaselineScores:
    """What a baseline gave: scorers by measure ("Q->T", "Q->I", "Q->T+Q->I", "Q->M")."""

    scorers: dict[str, Scorer]
    parameters: int | None = None
    """Weights of the model, frozen ones too; None where it has none."""
    vectors: VectorsOfQuery | None = None
    """Vectors for Figure 5, of a model that has them."""


class Baseline(Protocol):
    """A model that is known by its scores."""

    @property
    def name(self) -> str:
        """Its name in tables, with "small, from scratch" where no weights were given."""

    def scores(self, material: Material) -> BaselineScores:
        """Return its scores of the material's benchmark, after training where it trains."""


def train_rows(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> Rows:
    """Return train clicks and labels that have a picture, as rows of stages 2 and 3.

    Raises:
        UserError: the database has neither.
    """
    found, faults = [], []
    for stage in (2, 3):
        try:
            found.append(load_rows(connection, stage, catalogue)[0])
        except UserError as fault:
            faults.append(fault)
    if not found:
        raise faults[-1]
    return Rows(
        np.concatenate([rows.query for rows in found]),
        np.concatenate([rows.product for rows in found]),
        np.concatenate([rows.positive for rows in found]),
    )


def with_negatives(rows: Rows, seed: int) -> Rows:
    """Return rows with one product more for each positive one, drawn among the rows' others.

    A product that the rows call relevant to the query is never drawn as its negative.
    """
    rng = np.random.default_rng((seed, 41))
    products = np.unique(rows.product)
    query = rows.query[rows.positive]
    drawn = rng.choice(products, len(query))
    width = int(products.max(initial=0)) + 1
    relevant = query.astype(np.int64) * width + rows.product[rows.positive]
    kept = ~np.isin(query.astype(np.int64) * width + drawn, relevant)
    return Rows(
        np.concatenate([rows.query, query[kept]]),
        np.concatenate([rows.product, drawn[kept]]).astype(np.int32),
        np.concatenate([rows.positive, np.zeros(int(kept.sum()), dtype=np.bool_)]),
    )


def by_text(
    score: Callable[[list[str], list[str]], Iterator[Floats]], material: Material
) -> Scorer:
    """Return the scorer of a model that reads a query and a title together.

    `score` yields the scores of batches of (queries, titles); equal texts are read once.
    """
    queries, products = material.pairs
    catalogue = material.catalogue
    title = catalogue.contents.title[products]
    both, first, place = np.unique(
        np.stack([queries, title]), axis=1, return_index=True, return_inverse=True
    )
    if both.shape[1] == 0:
        return tabulated(queries, products, np.empty(0))
    left = catalogue.texts(catalogue.queries, queries[first])
    right = catalogue.texts(catalogue.titles, products[first])
    # Texts of one length share a batch, so that little of it is padding.
    order = np.argsort([len(q) + len(t) for q, t in zip(left, right, strict=True)], kind="stable")
    found = np.empty(len(order))
    parts = score([left[at] for at in order], [right[at] for at in order])
    found[order] = np.concatenate(list(parts))
    return tabulated(queries, products, found[place.ravel()])


def device() -> torch.device:
    """Return where baselines compute."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def shuffled(size: int, batch: int, epoch: int, seed: int) -> Iterator[RowNumbers]:
    """Yield places (batch,) of `size` rows, each epoch in a new order."""
    order = np.random.default_rng((seed, epoch)).permutation(size)
    yield from np.array_split(order, -(-size // batch))
