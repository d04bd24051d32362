from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.calibrated.reliability import train_population
from genfilt.filter.calibrated.sampling import UNLOGGED_SHARE, sample_pairs, with_log
from genfilt.filter.forecast import forecast_of
from tests.filter.calibrated.world import World

QUERIES, READ, TRAIN = 900, 300, 105


@pytest.fixture
def few_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fit read a third of the queries, and three fifths of the pairs of each."""
    monkeypatch.setattr("genfilt.filter.calibrated.sampling.MAX_QUERIES", READ)
    monkeypatch.setattr("genfilt.filter.calibrated.sampling.MAX_PAIRS", READ * 60)


def partly_logged(world: World, share: float, labelled: float = 0.0) -> Pairs:
    """Return a log of so many of the queries; the others were never shown to anybody."""
    log = world.log(labelled=labelled, noise=5)
    log = log if labelled else log.only(log.label < 0)
    shown = np.random.default_rng(0).random(QUERIES) < share
    return log.only(shown[log.q])


def test_a_sample_stands_for_all_pairs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = world.log()
    everything, stands_for = sample_pairs(world.queries, world.products, log, world.train)
    assert len(everything.q) == len(world.requested) * len(world.train)
    assert (stands_for == 1).all()
    monkeypatch.setattr("genfilt.filter.calibrated.sampling.MAX_PAIRS", 6000)
    part, stands_for = sample_pairs(world.queries, world.products, log, world.train)
    assert (stands_for == 1).all()
    assert len(part.q) < 0.6 * len(everything.q)
    assert part.weight.sum() == pytest.approx(len(everything.q))
    logged = set(zip(log.q.tolist(), log.f.tolist(), strict=True))
    assert logged <= set(zip(part.q.tolist(), part.f.tolist(), strict=True))
    assert len(set(zip(part.q.tolist(), part.f.tolist(), strict=True))) == len(part.q)


@pytest.mark.usefixtures("few_read")
@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
def test_queries_with_and_without_a_log_stand_for_their_own_kind(share: float) -> None:
    world = World(queries=QUERIES)
    log = partly_logged(world, share)
    pairs, stands_for = sample_pairs(world.queries, world.products, log, world.train)
    logged = np.isin(np.arange(QUERIES), log.q)
    assert (stands_for > 0).sum() == READ
    for kind in (logged, ~logged):
        weight = pairs.weight[kind[pairs.q]].sum()
        assert weight == pytest.approx(kind.sum() * TRAIN)
        assert stands_for[kind].sum() == pytest.approx(kind.sum())
    read = (stands_for > 0) & logged
    unlogged = min(READ * UNLOGGED_SHARE, (~logged).sum())
    assert read.sum() == min(logged.sum(), READ - unlogged)


@pytest.mark.usefixtures("few_read")
@pytest.mark.parametrize("labelled", [0.0, 0.4])
def test_most_queries_may_have_no_click(labelled: float) -> None:
    """The share of relevant pairs is that of all queries, though a seventh has a log."""
    world = World(queries=QUERIES)
    log = partly_logged(world, 0.15, labelled)
    fit = fit_calibration(world.training(log))
    relevant = world.truth[:, world.train]
    assert fit.pairs.weight.sum() == pytest.approx(relevant.size)
    assert fit.calibration.base_rate == pytest.approx(relevant.mean(), rel=0.2)
    known = world.truth[log.q, log.f][log.known].sum() / relevant.sum()
    found = forecast_of([fit], [train_population(fit)], log).known_share
    assert found == pytest.approx(known, rel=0.2)
    met = np.isin(np.arange(QUERIES), log.q)
    assert fit.unseen[~met].tolist() == [1.0] * int((~met).sum())
    assert not fit.offsets[~met].any()
    assert fit.unseen[met].mean() < 0.7


def test_a_click_is_one_click_of_however_many_queries_its_own_stands_for(world: World) -> None:
    training = world.training(world.log())
    weight = 8 * training.pairs.weight
    heavy = replace(
        training,
        pairs=replace(training.pairs, weight=weight),
        stands_for=8 * training.stands_for,
    )
    one, eight = fit_calibration(training), fit_calibration(heavy)
    assert eight.calibration.as_dict() == one.calibration.as_dict()
    assert eight.pairs.weight.sum() == pytest.approx(8 * one.pairs.weight.sum())


@pytest.mark.usefixtures("few_read")
def test_queries_of_the_log_that_were_left_out_have_the_mean_unseen_share() -> None:
    world = World(queries=QUERIES)
    log = partly_logged(world, 1.0)
    fit: Fit = fit_calibration(world.training(log))
    logged, read = np.isin(np.arange(QUERIES), log.q), fit.stands_for > 0
    left_out = fit.unseen[logged & ~read]
    assert len(left_out) > QUERIES / 3
    assert np.unique(left_out).size == 1
    assert fit.unseen[logged & read].min() < left_out[0] < 1


def test_the_log_is_found_for_each_pair() -> None:
    log = Pairs(
        np.array([2, 0]), np.array([1, 3]), np.ones(2), np.array([4, 0]), np.array([-1, 1], np.int8)
    )
    pairs = with_log(np.array([0, 2, 2]), np.array([3, 1, 2]), np.ones(3), log, 4)
    assert pairs.clicks.tolist() == [0, 4, 0]
    assert pairs.label.tolist() == [1, -1, -1]
