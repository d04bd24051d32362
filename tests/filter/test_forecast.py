from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import train_population
from genfilt.filter.forecast import forecast_of

QUERIES, PRODUCTS = 12, 30


@dataclass
class Known:
    """A fit whose probabilities are the truth."""

    calibration: Calibration
    pairs: Pairs
    score: np.ndarray
    relevant: np.ndarray
    vetoed: np.ndarray
    counted: np.ndarray
    unseen: np.ndarray


def test_the_forecast_is_what_drawn_batches_show() -> None:
    rng = np.random.default_rng(0)
    q, f = np.divmod(np.arange(QUERIES * PRODUCTS), PRODUCTS)
    relevant = rng.random(len(q)) < 0.3
    clicks = (relevant & (rng.random(len(q)) < 0.5)).astype(np.int64)
    pairs = Pairs(q, f, np.ones(len(q)), clicks, np.full(len(q), -1, dtype=np.int8))
    score = np.where(relevant & (rng.random(len(q)) < 0.6), 1.0, 0.0)  # some are corrected
    steps = np.array([0.0, 1.0])
    calibration = Calibration({}, np.zeros(4), {}, {}, steps, steps, 0.3, "")
    nothing, everything = np.zeros(len(q), dtype=bool), np.ones(QUERIES)
    fit = Known(calibration, pairs, score, relevant.astype(float), nothing, ~nothing, everything)
    fits = [cast(Fit, fit)]
    found = forecast_of(fits, [train_population(each) for each in fits], pairs)
    assert found.known_share == pytest.approx(clicks.sum() / relevant.sum(), abs=1e-4)

    rows = np.flatnonzero(clicks)
    missing = {"before": relevant & (clicks == 0)}
    missing["after"] = missing["before"] & (score < 0.9)
    counted = dict.fromkeys(missing, 0.0)
    draws, size = 400, 64
    for _ in range(draws):
        batch = rng.choice(rows, size=size)
        for name, wrong in missing.items():
            table = wrong.reshape(QUERIES, PRODUCTS)[np.ix_(q[batch], f[batch])].astype(float)
            np.fill_diagonal(table, 0)
            counted[name] += table.sum() / size / draws
    shown = cast(list[dict[str, float]], found.as_dict(0.9)["batches"])[0]
    assert shown["rows"] == size
    assert shown["false_negatives_before"] == pytest.approx(counted["before"], rel=0.05)
    assert shown["false_negatives_after"] == pytest.approx(counted["after"], rel=0.05)
