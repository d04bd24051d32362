"""Per-value logistic models of product titles, trained on clicks with cross-fitting.

A query that requests a value, and the product clicked for it, label that product's title: clicks
say which titles go with "women's" where no text does. Titles near it in the embedding space are
likely to have the value too; the model of a value gives its log odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.filter.agreement.attribute_values import RequestedValue
from genfilt.filter.calibrated.click_counts import ClickCounts
from genfilt.store.keys import text_key

FOLDS = 5  # of titles, by content: a title is scored by the model of the other folds
MAX_LOGIT = 6.0  # of a title: a few clicks are no evidence for odds beyond 400 to 1
MIN_PRODUCTS_PER_VALUE = 8  # with the value and without it; fewer fit noise
MAX_VALUES = 64  # that have a model, those with the most products first
MAX_TITLES_PER_SIDE = 2000  # with and without the value: more change the direction little
MAX_COUNT_PER_PRODUCT = 3  # so that a few popular products do not make the model
RIDGE = 1.0
OPTIMISER_STEPS = 40  # the directions need not be exact


def title_folds(titles: Sequence[str]) -> Rows:
    """Return the fold of each title, from its content alone."""
    return np.array([int(text_key(title)[:8], 16) % FOLDS for title in titles], dtype=np.int64)


def fit_title_models(
    written: Vectors, fold: Rows, values: Sequence[RequestedValue], counts: ClickCounts
) -> dict[RequestedValue, Vectors]:
    """Fit which titles go with a value, against those of the other values of its family.

    Args:
        written: (F, D) vectors of the titles as written.
        fold: (F,) of each title.
        values: (V,) the requested values.
        counts: of the values in the queries of each product.

    Returns:
        (FOLDS, D + 1) directions and offsets of each value that enough products have; row n was
        fitted without the titles of fold n.
    """
    support = _support(counts)
    best = [
        at
        for at in np.argsort(-support, kind="stable")[:MAX_VALUES]
        if support[at] >= MIN_PRODUCTS_PER_VALUE
    ]
    rows = np.arange(len(written))
    models = {}
    for at in best:
        yes, no = (
            np.minimum(each, MAX_COUNT_PER_PRODUCT) for each in counts.at(rows, np.array(at))
        )
        models[values[at]] = np.stack(
            [_direction(written, yes, no, fold != part) for part in range(FOLDS)]
        )
    return models


def _support(counts: ClickCounts) -> Rows:
    """Return how many products have each value and how many have not, the fewer of both, (V,)."""
    f, v = np.divmod(counts.keys, max(len(counts.family), 1))
    yes, no = (np.minimum(each, MAX_COUNT_PER_PRODUCT) for each in counts.at(f, v))
    size = len(counts.family)
    with_value = np.bincount(v[yes > no], minlength=size)
    without = np.bincount(v[no > yes], minlength=size)
    silent = (counts.totals > 0).sum(axis=0)[counts.family] - np.bincount(v, minlength=size)
    return np.asarray(np.minimum(with_value, without + silent))


@dataclass(frozen=True)
class TitleModels:
    """The log odds that the models of the other folds give each title.

    Attributes:
        column: (V,) of each value in `scores`, the last one for values without a model.
        scores: (F, T + 1) in logits, 0 in the last column.
    """

    column: Rows
    scores: Vectors

    @classmethod
    def of(
        cls,
        models: dict[RequestedValue, Vectors],
        written: Vectors,
        fold: Rows,
        values: Sequence[RequestedValue],
    ) -> TitleModels:
        """Apply the directions of `fit_title_models` to all titles, (F, D)."""
        known = [at for at, value in enumerate(values) if value in models]
        scores = np.zeros((len(written), len(known) + 1), dtype=np.float32)
        column = np.full(len(values), len(known), dtype=np.int64)
        for place, at in enumerate(known):
            rows = models[values[at]].astype(np.float64)  # (FOLDS, D + 1)
            logits = written @ rows[:, :-1].T + rows[:, -1]
            scores[:, place] = np.clip(logits[np.arange(len(written)), fold], -MAX_LOGIT, MAX_LOGIT)
            column[at] = place
        return cls(column, scores)

    def at(self, f: Rows, v: Rows) -> Floats:
        """Return the logits for rows and values of one shape."""
        return self.scores[f, self.column[v]].astype(np.float64)


def _direction(written: Vectors, yes: Floats, no: Floats, use: Bools) -> Vectors:
    """Return the logistic direction and offset that separate `yes` from `no`, (D + 1,)."""
    from scipy.optimize import minimize
    from scipy.special import expit

    rows, weight = _sample(use & (yes > no), use & (no > 0) & (no >= yes))
    x = np.hstack([written[rows], np.ones((len(rows), 1))]).astype(np.float64)
    yes, no = yes[rows] * weight, no[rows] * weight
    ridge = np.full(x.shape[1], RIDGE)
    ridge[-1] = 0.0

    def loss(w: Floats) -> tuple[float, Floats]:
        logit = x @ w
        value = yes @ np.logaddexp(0, -logit) + no @ np.logaddexp(0, logit)
        slope = (yes + no) * expit(logit) - yes
        return float(value + 0.5 * ridge @ (w * w)), x.T @ slope + ridge * w

    options = {"maxiter": OPTIMISER_STEPS}
    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, dtype=np.float32)


def _sample(*sides: Bools) -> tuple[Rows, Floats]:
    """Return up to MAX_TITLES_PER_SIDE rows of each side, with the number each stands for."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(side) for side in sides]
    drawn = [np.sort(rng.permutation(side)[:MAX_TITLES_PER_SIDE]) for side in rows]
    weight = [
        np.full(len(part), len(side) / max(len(part), 1))
        for side, part in zip(rows, drawn, strict=True)
    ]
    return np.concatenate(drawn), np.concatenate(weight)
