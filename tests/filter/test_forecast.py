from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import train_population
from genfilt.filter.forecast import Forecast, forecast_of

QUERIES, PRODUCTS = 12, 30


def known_fit(products: int, rng: np.random.Generator) -> Fit:
    """Return a fit whose probabilities are the truth."""
    q, f = np.divmod(np.arange(QUERIES * products), products)
    relevant = rng.random(len(q)) < 0.3
    clicks = (relevant & (rng.random(len(q)) < 0.5)).astype(np.int64)
    pairs = Pairs(q, f, np.ones(len(q)), clicks, np.full(len(q), -1, dtype=np.int8))
    score = np.where(relevant & (rng.random(len(q)) < 0.6), 1.0, 0.0)  # some are corrected
    steps = np.array([0.0, 1.0])
    calibration = Calibration({}, np.zeros(4), {}, {}, steps, steps, 0.3, "")
    nothing, each = np.zeros(len(q), dtype=bool), np.ones(QUERIES)
    arrays = (score, relevant.astype(float), nothing, ~nothing, each, np.zeros((QUERIES, 1)))
    return Fit(calibration, pairs, each, *arrays)


def forecast(fits: list[Fit], log: Pairs) -> Forecast:
    return forecast_of(fits, [train_population(fit) for fit in fits], log)


def test_the_forecast_is_what_drawn_batches_show() -> None:
    rng = np.random.default_rng(0)
    fit = known_fit(PRODUCTS, rng)
    q, f, clicks = fit.pairs.q, fit.pairs.f, fit.pairs.clicks
    relevant, score = fit.relevant > 0, fit.score
    found = forecast([fit], fit.pairs)
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


def test_parts_that_were_read_unlike_count_for_what_they_stand_for() -> None:
    """Of 3,000 products a half was read wholly; of the other half, with few clicks, a tenth was."""
    rng = np.random.default_rng(0)
    whole = known_fit(3000, rng)
    rare = (whole.pairs.f >= 1500) & (rng.random(len(whole.pairs.q)) < 0.8)
    log = replace(whole.pairs, clicks=np.where(rare, 0, whole.pairs.clicks))
    whole = replace(whole, pairs=log)
    right = forecast([whole], log)
    read = (log.f < 1500) | (log.f % 10 == 0)
    halves = [whole.only(read & (log.f < 1500)), whole.only(read & (log.f >= 1500))]
    parts = [half.standing_for(QUERIES * 1500) for half in halves]
    found = forecast(parts, log)
    assert found.known_share == pytest.approx(right.known_share, rel=0.03)
    # Columns of a batch are clicks of the log: they need no weight for products that were not read.
    part_log = log.only(read)
    assert forecast(parts, part_log).before == forecast(halves, part_log).before > 0


def test_queries_stand_for_others_and_rows_of_a_batch_do_not() -> None:
    """Half of the queries was read: they hold half of the rows, and forecast the others' too."""
    whole = known_fit(3000, np.random.default_rng(0))
    half = whole.only(whole.pairs.q % 2 == 0)
    half = half.standing_for(2.0 * len(half.pairs.q))
    right, found = (forecast([fit], whole.pairs) for fit in (whole, half))
    assert found.before == pytest.approx(right.before, rel=0.05)
    assert found.known_share == pytest.approx(right.known_share, rel=0.05)
