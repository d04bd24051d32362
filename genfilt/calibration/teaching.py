"""What a click log teaches of attributes that no text tells: which titles go with "women's".

A query that names an attribute, and the product clicked for it, label that product. Other titles
near it in the embedder's space are likely to be the same; a logistic direction for each value says
how likely. The clicks on a product itself are its history.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genfilt.calibration.facts import Asked
from genfilt.calibration.population import Pairs
from genfilt.keys import text_key

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

FOLDS = 5  # of titles, by content: a title is told only what titles of other folds teach
LIMIT = 6.0  # no title teaches more than this, in logits
FEWEST = 8  # products on either side from which a value is taught
MOST = 64  # values that are taught, the best known first
TIMES = 3  # a product counts at most this often for a value
RIDGE = 1.0
STEPS = 40  # of the optimiser: the directions need not be exact


def title_folds(titles: Sequence[str]) -> Rows:
    """Return the fold of each title, from its content alone."""
    return np.array([int(text_key(title)[:8], 16) % FOLDS for title in titles], dtype=np.int64)


def count_values(
    asked: Matrix, values: Sequence[Asked], pairs: Pairs, products: int
) -> tuple[Floats, Floats]:  # (F, V) each
    """Count the queries that each product is known to answer: asking for v, and for another value.

    The other value is of v's family.
    """
    yes = np.zeros((products, len(values)))
    known = pairs.only(pairs.known)
    np.add.at(yes, known.f, (asked[known.q] > 0).astype(np.float64))
    no = np.zeros_like(yes)
    for family in {name for name, _ in values}:
        columns = [at for at, (name, _) in enumerate(values) if name == family]
        no[:, columns] = yes[:, columns].sum(axis=1, keepdims=True) - yes[:, columns]
    return yes, no


def history(yes: Floats, no: Floats) -> Floats:
    """Return the log odds that a product has a value, from the queries it is known to answer.

    `yes` of them ask for the value and `no` for another one of its family; nothing gives 0.
    """
    return np.asarray(np.log1p(2 * np.maximum(yes, 0)) - np.log1p(2 * no), dtype=np.float64)


def teach(
    whole: Matrix, fold: Rows, values: Sequence[Asked], counts: tuple[Floats, Floats]
) -> dict[Asked, Matrix]:
    """Learn which titles go with an asked value, against the others of its family.

    `whole` is (F, D) and `counts` what `count_values` returns. Returns (FOLDS, D + 1) directions
    and offsets for each value that enough products teach; row n has not met the titles of fold n.
    """
    yes, no = (np.minimum(each, TIMES) for each in counts)
    strength = np.minimum((yes > no).sum(axis=0), (no > yes).sum(axis=0))
    best = [at for at in np.argsort(-strength, kind="stable")[:MOST] if strength[at] >= FEWEST]
    return {
        values[at]: np.stack(
            [_direction(whole, yes[:, at], no[:, at], fold != part) for part in range(FOLDS)]
        )
        for at in best
    }


def taught_scores(
    taught: dict[Asked, Matrix], whole: Matrix, fold: Rows, values: Sequence[Asked]
) -> Floats:  # (F, V)
    """Return what the log teaches of each value from titles of other folds, else 0."""
    scores = np.zeros((len(whole), len(values)))
    for at, value in enumerate(values):
        if value in taught:
            rows = taught[value].astype(np.float64)  # (FOLDS, D + 1)
            told = whole @ rows[:, :-1].T + rows[:, -1]
            scores[:, at] = np.clip(told[np.arange(len(whole)), fold], -LIMIT, LIMIT)
    return scores


def _direction(
    whole: Matrix, for_it: Floats, against: Floats, use: npt.NDArray[np.bool_]
) -> Matrix:
    """Return the logistic direction and offset that tell `for_it` from `against`, (D + 1,)."""
    from scipy.optimize import minimize

    rows = use & (for_it + against > 0)
    x = np.hstack([whole[rows], np.ones((int(rows.sum()), 1))]).astype(np.float64)
    yes, no = for_it[rows], against[rows]
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


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float64)
