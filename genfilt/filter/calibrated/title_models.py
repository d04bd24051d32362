"""What a click log teaches of attributes that no text tells: which titles go with "women's".

A query that names an attribute, and the product clicked for it, label that product. Other titles
near it in the embedder's space are likely to be the same; a logistic direction for each value says
how likely. The clicks on a product itself are its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.filter.calibrated.agreement_table import family_numbers
from genfilt.filter.calibrated.attribute_values import FAMILIES, Asked
from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.query_values import Queries
from genfilt.store.keys import text_key

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

FOLDS = 5  # of titles, by content: a title is told only what titles of other folds teach
LIMIT = 6.0  # no title teaches more than this, in logits
FEWEST = 8  # products on either side from which a value is taught
MOST = 64  # values that are taught, the best known first
ENOUGH = 2000  # titles on either side that tell a direction as well as all of them
TIMES = 3  # a product counts at most this often for a value
RIDGE = 1.0
STEPS = 40  # of the optimiser: the directions need not be exact


def title_folds(titles: Sequence[str]) -> Rows:
    """Return the fold of each title, from its content alone."""
    return np.array([int(text_key(title)[:8], 16) % FOLDS for title in titles], dtype=np.int64)


@dataclass(frozen=True)
class ClickCounts:
    """How many queries that each product is known to answer ask for each value, (F, V) if dense.

    Attributes:
        family: (V,) place of each value's family in FAMILIES.
        keys: f * V + v of the cells above 0, ascending.
        times: what stands in them.
        totals: (F, len(FAMILIES)) sums over the values of a family.
    """

    family: Rows
    keys: Rows
    times: Floats
    totals: Floats

    def at(self, f: Rows, v: Rows) -> tuple[Floats, Floats]:
        """Return how many of the queries ask for v, and how many for another of its family.

        For rows and values of one shape.
        """
        f, v = np.broadcast_arrays(f, v)
        yes = np.zeros(f.shape)
        if len(self.keys):
            wanted = f * len(self.family) + v
            place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            yes = np.where(self.keys[place] == wanted, self.times[place], 0.0)
        return yes, self.totals[f, self.family[v]] - yes


def count_values(
    queries: Queries, values: Sequence[Asked], pairs: Pairs, products: int
) -> ClickCounts:
    """Count what the queries ask for that each product is known to answer."""
    family = family_numbers(values)
    known = pairs.only(pairs.known)
    asked = queries.asked[known.q]
    present = queries.share[known.q] > 0
    f = np.broadcast_to(known.f[:, None], asked.shape)[present]
    v = asked[present]
    keys, times = np.unique(f * len(values) + v, return_counts=True)
    totals = np.zeros((products, len(FAMILIES)))
    np.add.at(totals, (f, family[v]), 1.0)
    return ClickCounts(family, keys, times.astype(np.float64), totals)


def history(yes: Floats, no: Floats) -> Floats:
    """Return the log odds that a product has a value, from the queries it is known to answer.

    `yes` of them ask for the value and `no` for another one of its family; nothing gives 0.
    """
    return np.asarray(np.log1p(2 * np.maximum(yes, 0)) - np.log1p(2 * no), dtype=np.float64)


def fit_title_models(
    whole: Matrix, fold: Rows, values: Sequence[Asked], counts: ClickCounts
) -> dict[Asked, Matrix]:
    """Learn which titles go with an asked value, against the others of its family.

    `whole` is (F, D). Returns (FOLDS, D + 1) directions and offsets for each value that enough
    products teach; row n has not met the titles of fold n.
    """
    strength = _strength(counts)
    best = [at for at in np.argsort(-strength, kind="stable")[:MOST] if strength[at] >= FEWEST]
    rows = np.arange(len(whole))
    taught = {}
    for at in best:
        yes, no = (np.minimum(each, TIMES) for each in counts.at(rows, np.array(at)))
        taught[values[at]] = np.stack(
            [_direction(whole, yes, no, fold != part) for part in range(FOLDS)]
        )
    return taught


def _strength(counts: ClickCounts) -> Rows:
    """Return for each value how many products speak for it or against it, the fewer of both."""
    f, v = np.divmod(counts.keys, max(len(counts.family), 1))
    yes, no = (np.minimum(each, TIMES) for each in counts.at(f, v))
    size = len(counts.family)
    for_it = np.bincount(v[yes > no], minlength=size)
    against = np.bincount(v[no > yes], minlength=size)
    silent = (counts.totals > 0).sum(axis=0)[counts.family] - np.bincount(v, minlength=size)
    return np.asarray(np.minimum(for_it, against + silent))


@dataclass(frozen=True)
class TitleModels:
    """What titles of other folds teach of each product's own, in logits.

    Attributes:
        column: (V,) of each value in `scores`, the last one where nothing is taught.
        scores: (F, T + 1), 0 in the last column.
    """

    column: Rows
    scores: Matrix

    @classmethod
    def of(
        cls, taught: dict[Asked, Matrix], whole: Matrix, fold: Rows, values: Sequence[Asked]
    ) -> TitleModels:
        """Apply the directions of `teach` to all titles, (F, D)."""
        known = [at for at, value in enumerate(values) if value in taught]
        scores = np.zeros((len(whole), len(known) + 1), dtype=np.float32)
        column = np.full(len(values), len(known), dtype=np.int64)
        for place, at in enumerate(known):
            rows = taught[values[at]].astype(np.float64)  # (FOLDS, D + 1)
            told = whole @ rows[:, :-1].T + rows[:, -1]
            scores[:, place] = np.clip(told[np.arange(len(whole)), fold], -LIMIT, LIMIT)
            column[at] = place
        return cls(column, scores)

    def at(self, f: Rows, v: Rows) -> Floats:
        """Return the logits for rows and values of one shape."""
        return self.scores[f, self.column[v]].astype(np.float64)


def _direction(
    whole: Matrix, for_it: Floats, against: Floats, use: npt.NDArray[np.bool_]
) -> Matrix:
    """Return the logistic direction and offset that tell `for_it` from `against`, (D + 1,)."""
    from scipy.optimize import minimize

    rows, weight = _drawn(use & (for_it > against), use & (against > 0) & (against >= for_it))
    x = np.hstack([whole[rows], np.ones((len(rows), 1))]).astype(np.float64)
    yes, no = for_it[rows] * weight, against[rows] * weight
    ridge = np.full(x.shape[1], RIDGE)
    ridge[-1] = 0.0

    def loss(w: Floats) -> tuple[float, Floats]:
        logit = x @ w
        value = yes @ np.logaddexp(0, -logit) + no @ np.logaddexp(0, logit)
        slope = (yes + no) * _sigmoid(logit) - yes
        return float(value + 0.5 * ridge @ (w * w)), x.T @ slope + ridge * w

    found = minimize(
        loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
    )
    return np.asarray(found.x, dtype=np.float32)


def _drawn(*sides: npt.NDArray[np.bool_]) -> tuple[Rows, Floats]:
    """Return up to ENOUGH rows of each side, each with the number of rows that it stands for."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(side) for side in sides]
    drawn = [np.sort(rng.permutation(side)[:ENOUGH]) for side in rows]
    weight = [
        np.full(len(part), len(side) / max(len(part), 1))
        for side, part in zip(rows, drawn, strict=True)
    ]
    return np.concatenate(drawn), np.concatenate(weight)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float64)
