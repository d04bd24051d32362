from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import UNJUDGED, Pairs
from genfilt.filter.calibrated.fit import fit_calibration
from tests.filter.calibrated.world import World

SHOWN = 0.4  # of the queries; nobody was seen with the others


@pytest.fixture(scope="module")
def world() -> World:
    return World(queries=400)


@pytest.fixture(scope="module")
def log(world: World) -> Pairs:
    """Clicks and labels of the shown queries."""
    shown = np.random.default_rng(0).random(len(world.truth)) < SHOWN
    log = world.log(noise=0)
    return log.only(shown[log.q])


def clicks_alone(log: Pairs) -> Pairs:
    clicked = log.only(log.clicks > 0)
    return replace(clicked, label=np.full_like(clicked.label, UNJUDGED))


def test_queries_without_a_click_do_not_lower_the_share_of_relevant_pairs(
    world: World, log: Pairs
) -> None:
    training = world.training(clicks_alone(log))
    rate = world.truth[:, world.train].mean()
    assert fit_calibration(training).calibration.base_rate == pytest.approx(rate, rel=0.25)
    assert training.fitted.tolist() == training.logged.tolist()
    assert training.fitted.mean() < 0.5


def test_all_queries_are_fitted_on_with_few_clicks_and_with_labels(
    world: World, log: Pairs
) -> None:
    few = clicks_alone(log)
    few = few.only(np.unique(few.q, return_index=True)[1])  # one pair of each query
    for each in (replace(few, clicks=np.ones_like(few.clicks)), log):
        training = world.training(each)
        assert training.fitted.all()
        assert not training.logged.all()
