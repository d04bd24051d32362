from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.calibrated.model import probability
from genfilt.filter.calibrated.reliability import estimated_curve, reliability, train_population
from genfilt.filter.calibrated.title_models import (
    FOLDS,
    TitleModels,
    fit_title_models,
    title_folds,
)
from genfilt.filter.precision_curve import best_sigma
from tests.filter.calibrated.world import (
    VALUES,
    World,
    all_scores,
    kept_table,
    raises_of,
)


def test_probabilities_are_calibrated_where_nobody_looked(
    world: World, training: Training, fit: Fit
) -> None:
    unseen = np.setdiff1d(np.arange(len(training.products.image)), world.train)
    ruled_out = fit.vetoed
    assert fit.relevant[ruled_out].sum() < 0.02 * fit.relevant.sum()
    scores = all_scores(fit, training)[:, unseen].ravel()
    predicted = probability(fit.calibration, scores)
    truth = world.truth[:, unseen].ravel()
    for low, high in ((0.0, 0.05), (0.05, 1.01)):
        part = (predicted >= low) & (predicted < high)
        assert predicted[part].mean() == pytest.approx(truth[part].mean(), abs=0.05)
    population = train_population(fit)
    assert reliability(population).error < 0.03


def test_pairs_that_count_clicks_stand_for_their_group_alone(fit: Fit) -> None:
    small = np.zeros(len(fit.pairs.q), dtype=bool)
    small[np.flatnonzero(~fit.counted)[:7]] = True  # a group without a pair that counts clicks
    names = np.where(small, "small", np.where(fit.pairs.f % 3 == 0, "third", "rest"))
    weight = train_population(fit, names.tolist()).weight
    for name in ("small", "third", "rest"):
        mine = names == name
        assert weight[mine].sum() == pytest.approx(fit.pairs.weight[mine].sum())
        assert (weight[mine & ~fit.counted] > 0).any() == (name == "small")


def test_the_log_teaches_what_no_text_tells(world: World, training: Training, fit: Fit) -> None:
    """No agreement speaks of the audience; clicks on some titles do, of other titles."""
    weight = fit.calibration.families["audience"]
    assert weight.title_model > 0.3
    unseen = np.setdiff1d(np.arange(len(training.products.image)), world.train)
    raises = raises_of(fit, training)
    women = VALUES.index(("audience", "women"))
    gap = raises[unseen, women] - raises[unseen, women + 1]
    right = (gap > 0) == (world.facets[2, unseen] == 0)
    assert right.mean() > 0.9


def test_a_part_of_many_titles_teaches_what_all_teach(
    world: World, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = training.products
    unseen = np.setdiff1d(np.arange(len(products.image)), world.train)
    told = []
    for enough in (10_000, 25):
        monkeypatch.setattr("genfilt.filter.calibrated.title_models.MAX_TITLES_PER_SIDE", enough)
        models = fit_title_models(products.written, products.fold, VALUES, products.counts)
        logits = TitleModels.of(models, products.written, products.fold, VALUES)
        told.append(logits.at(unseen, np.array(VALUES.index(("audience", "women")))))
    assert not np.array_equal(told[0], told[1])
    assert ((told[0] > 0) == (told[1] > 0)).mean() > 0.9
    assert np.abs(told[1]).mean() == pytest.approx(np.abs(told[0]).mean(), rel=0.25)


def test_attributes_find_more_than_cosines_alone(
    world: World, training: Training, fit: Fit
) -> None:
    plain = fit_calibration(training, attributes=False)
    assert not plain.calibration.families
    unseen = np.setdiff1d(np.arange(len(training.products.image)), world.train)
    truth = world.truth[:, unseen].ravel()
    found = [
        _recall(all_scores(each, training)[:, unseen].ravel(), truth, 0.95) for each in (fit, plain)
    ]
    assert found[0] > found[1] + 0.1


def _recall(scores: np.ndarray, truth: np.ndarray, precision: float) -> float:
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(truth[order])
    good = right / np.arange(1, len(order) + 1) >= precision
    return float(right[good].max() / truth.sum()) if good.any() else 0.0


def test_a_text_that_is_often_wrong_does_not_veto(world: World) -> None:
    noisy = world.agreement.copy()
    noisy[1] = noisy[1][np.random.default_rng(0).permutation(noisy.shape[1])]
    broken = World()
    broken.products = replace(broken.products, agreement_table=kept_table(noisy))
    fit = fit_calibration(broken.training(broken.log()))
    assert fit.calibration.families["color"].vetoes == (False, False)
    assert fit.calibration.families["color"].confirm[1] < 1.0


def test_the_suggested_sigma_keeps_the_precision(
    world: World, training: Training, fit: Fit
) -> None:
    best = best_sigma(estimated_curve(train_population(fit)), 0.95)
    assert best.precision >= 0.95
    low, high = best.precision_ci
    assert low <= best.precision <= high
    unseen = np.setdiff1d(np.arange(len(training.products.image)), world.train)
    passing = probability(fit.calibration, all_scores(fit, training)[:, unseen]) >= best.sigma
    assert world.truth[:, unseen][passing].mean() > 0.85
    curve = estimated_curve(train_population(fit))
    nothing = replace(curve, precision=[0.5] * len(curve.precision))
    assert best_sigma(nothing, 0.95).sigma is None


def test_too_few_known_pairs_are_refused(world: World) -> None:
    log = world.log()
    log = log.only(np.arange(len(log.q)) < 5)
    with pytest.raises(UserError, match="a calibration needs"):
        fit_calibration(world.training(log))


def test_folds_of_titles_come_from_their_content() -> None:
    titles = [f"Title {n}" for n in range(200)]
    folds = title_folds(titles)
    assert set(folds.tolist()) == set(range(FOLDS))
    assert folds[::-1].tolist() == title_folds(titles[::-1]).tolist()
