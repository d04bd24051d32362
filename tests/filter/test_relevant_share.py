from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genfilt.filter.calibrated.coverage import Pairs, estimate_coverage
from genfilt.filter.calibrated.fit import fit_calibration
from genfilt.filter.relevant_share import few_clicks, rate_range
from tests.filter.calibrated.world import World

SIZES = np.repeat([2, 38], 30)  # relevant products of sixty queries
EVERYTHING = np.ones(6000, dtype=bool)


def sampled(log: Pairs, events: int) -> Pairs:
    """Draw at most so many click events of each query."""
    rng = np.random.default_rng(0)
    event = np.repeat(np.arange(len(log.q)), log.clicks)
    clicks = np.zeros_like(log.clicks)
    for query in np.unique(log.q):
        mine = event[log.q[event] == query]
        np.add.at(clicks, rng.permutation(mine)[:events], 1)
    return replace(log, clicks=clicks).only(clicks > 0)


@pytest.mark.parametrize("events", [1, 2, 3])
def test_a_sample_of_a_log_gives_a_range_that_has_the_share(events: int) -> None:
    world = World(queries=300, products=300)
    rate = world.truth[:, world.train].mean()
    log = world.log(clicked=0.7, labelled=0.0, noise=0)
    fit = fit_calibration(world.training(sampled(log.only(log.label < 0), events)))
    low, high = fit.calibration.base_rate_range
    assert low < rate < 1.15 * high  # where the score separates exactly high is the share
    assert high < 6 * low
    assert 0.4 * rate < fit.calibration.base_rate < 1.5 * rate


def one_click_each() -> tuple[Pairs, np.ndarray]:
    """Return one click of each query of SIZES, and a score that separates exactly."""
    q, f = np.divmod(np.arange(6000), 100)
    clicks = (f == 0).astype(np.int64)
    pairs = Pairs(q, np.arange(6000), np.ones(6000), clicks, np.full(6000, -1, np.int8))
    return pairs, np.where(f < SIZES[q], 0.0, -12.0)


def test_one_click_of_unequal_queries_counts_the_products_of_each() -> None:
    pairs, score = one_click_each()
    found = rate_range(pairs, estimate_coverage(pairs, 60), score, EVERYTHING)
    assert found is not None
    assert found[1] == pytest.approx(SIZES.sum() / 6000, rel=0.02)
    assert found[0] < found[1]


def test_effective_numbers_are_those_of_equal_pairs_and_need_few_clicks() -> None:
    pairs, score = one_click_each()
    few = few_clicks(pairs, score, EVERYTHING, 60)
    assert few is not None
    assert few.weight == 1
    assert few.sizes == pytest.approx(SIZES, rel=0.02)
    assert few_clicks(replace(pairs, clicks=4 * pairs.clicks), score, EVERYTHING, 60) is None


def test_sizes_count_until_labels_tell_how_many_pairs_are_missed() -> None:
    pairs, score = one_click_each()
    clicked = np.flatnonzero(pairs.clicks)
    for labels, counted in ((1, True), (19, True), (20, False), (60, False)):
        label = np.full(6000, -1, np.int8)
        label[clicked[:labels]] = 1
        few = few_clicks(replace(pairs, label=label), score, EVERYTHING, 60)
        assert (few is not None) == counted
    label = np.where(score == 0, 1, -1).astype(np.int8)
    label[clicked] = -1  # more labels than clicks, none of them on a clicked pair
    assert few_clicks(replace(pairs, label=label), score, EVERYTHING, 60) is None


def test_a_few_queries_with_many_clicks_do_not_speak_for_the_others() -> None:
    pairs, score = one_click_each()
    heavy = np.where(pairs.q < 5, 200, 1)
    few = few_clicks(replace(pairs, clicks=pairs.clicks * heavy), score, EVERYTHING, 60)
    assert few is not None
    assert few.weight == 1
