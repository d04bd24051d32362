from __future__ import annotations

from collections.abc import Iterator

import pytest

from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.filter import filter_pairs
from genfilt.store.store import Store
from tests.filter.calibrated.clicked_shop import CORRECTIONS, SETTINGS, shop
from tests.filter.calibrated.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def training(world: World) -> Training:
    return world.training(world.log())


@pytest.fixture(scope="module")
def fit(training: Training) -> Fit:
    return fit_calibration(training)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with shop() as opened:
        yield opened


@pytest.fixture(scope="module")
def corrections(store: Store, embedder: Embedder) -> list[tuple[object, ...]]:
    filter_pairs(store, SETTINGS, embedder)
    return store.rows(CORRECTIONS)
