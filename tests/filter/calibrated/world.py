"""A small world of queries and products with known truth, for tests of the calibrated rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genfilt.filter.agreement.agreement_table import AgreementTable, family_numbers
from genfilt.filter.agreement.attribute_values import FAMILIES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated.click_counts import count_values
from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.sampling import sample_pairs
from genfilt.filter.calibrated.scoring import Products, ValueScores
from genfilt.filter.calibrated.title_models import (
    title_folds,
)

WIDTH = 24
COLORS = ("red", "blue", "green", "black", "white")
TYPES = ("tank", "hoodie", "mug", "lamp")
AUDIENCES = ("women", "men")
VALUES: list[RequestedValue] = [
    *(("type", name) for name in TYPES),
    *(("color", name) for name in COLORS),
    *(("audience", name) for name in AUDIENCES),
]

_NO_ROWS = np.zeros(0, dtype=np.int64)
NOTHING = Pairs(_NO_ROWS, _NO_ROWS, np.zeros(0), _NO_ROWS, np.zeros(0, dtype=np.int8))


class World:
    """Products whose text tells the type, whose picture the colour; nothing tells the audience.

    Titles of women's and men's products lie on two sides of a direction, as first names do.
    """

    def __init__(self, queries: int = 160, products: int = 150, seed: int = 0) -> None:
        self.rng = rng = np.random.default_rng(seed)
        directions = _unit(rng.normal(size=(len(VALUES), WIDTH)))
        self.facets = np.stack([rng.integers(len(n), size=products) for n in _families()])
        self.needs = np.stack([rng.integers(len(n), size=queries) for n in _families()])
        for family in (1, 2):
            self.needs[family, rng.random(queries) < 0.4] = -1  # not requested for
        self.truth = np.all(
            (self.needs[:, :, None] == self.facets[:, None]) | (self.needs[:, :, None] < 0), axis=0
        )
        starts = (0, len(TYPES), len(TYPES) + len(COLORS))
        self.requested = np.zeros((queries, len(VALUES)), dtype=np.float32)
        for family, start in enumerate(starts):
            rows = np.flatnonzero(self.needs[family] >= 0)
            self.requested[rows, start + self.needs[family, rows]] = 1
        self.agreement = agreement = np.zeros((2, products, len(VALUES)), dtype=np.int8)
        for family, start in enumerate(starts[:2]):
            size = len(_families()[family])
            agreement[family, :, start : start + size] = -1
            agreement[family, np.arange(products), start + self.facets[family]] = 1
        noise = rng.normal(scale=0.1, size=(3, max(queries, products), WIDTH))
        image = directions[starts[1] + self.facets[1]] + directions[self.facets[0]]
        whole = directions[starts[2] + self.facets[2]] + noise[1, :products]
        wanted = [[VALUES[at] for at in np.flatnonzero(row)] for row in self.requested]
        vectors = _unit(self.requested @ directions + noise[0, :queries])
        self.queries = Queries.of(vectors, wanted, VALUES)
        self.products = Products(
            image=_unit(image + noise[2, :products]),
            title=_unit(directions[self.facets[0]] + noise[1, :products]),
            written=_unit(whole),
            fold=title_folds([f"title {row}" for row in range(products)]),
            agreement_table=kept_table(agreement),
            counts=count_values(self.queries, VALUES, NOTHING, products),
        )
        self.train = np.arange(int(products * 0.7))

    def log(self, clicked: float = 0.5, labelled: float = 0.4, noise: int = 30) -> Pairs:
        """Draw clicks and labels of train products, and a few clicks that mean nothing."""
        truth = self.truth[:, self.train]
        clicks = truth * self.rng.poisson(-np.log(1 - clicked), size=truth.shape)
        wrong = self.rng.integers((len(truth), len(self.train)), size=(noise, 2))
        clicks[wrong[:, 0], wrong[:, 1]] += 1
        label = np.full(truth.shape, -1, dtype=np.int8)
        label[truth & (self.rng.random(truth.shape) < labelled)] = 1
        label[~truth & (self.rng.random(truth.shape) < 0.02)] = 0
        q, f = np.nonzero((clicks > 0) | (label >= 0))
        return Pairs(q, self.train[f], np.ones(len(q)), clicks[q, f], label[q, f])

    def training(self, log: Pairs, base_rate: float | None = None) -> Training:
        counts = count_values(self.queries, VALUES, log, len(self.products.written))
        products = replace(self.products, counts=counts)
        sample = sample_pairs(self.queries, products, log, self.train)
        return Training(self.queries, products, VALUES, *sample, log, {"data": "d"}, base_rate)


def kept_table(table: np.ndarray) -> AgreementTable:
    """Return a table of agreements, (2, F, V), as they are kept."""
    family = family_numbers(VALUES)
    place = np.array([(family[:at] == family[at]).sum() for at in range(len(VALUES))])
    rows = np.broadcast_to(np.arange(table.shape[1]), (2, len(FAMILIES), table.shape[1]))
    blocks = [[layer[:, family == each] for each in range(len(FAMILIES))] for layer in table]
    none = np.zeros(0, dtype=np.int64)
    return AgreementTable(family, place, rows, tuple(map(tuple, blocks)), (none, none))


def _families() -> tuple[tuple[str, ...], ...]:
    return TYPES, COLORS, AUDIENCES


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def all_scores(fit: Fit, training: Training) -> np.ndarray:
    scores = ValueScores(fit.calibration, training.products, VALUES)
    return scores.left(training.queries).astype(np.float64) @ scores.right().T.astype(np.float64)


def raises_of(fit: Fit, training: Training) -> np.ndarray:
    """Return s(f, v), (F, V)."""
    scores = ValueScores(fit.calibration, training.products, VALUES)
    return scores.at(np.arange(len(training.products.image))[:, None], np.arange(len(VALUES)))
