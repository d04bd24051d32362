from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.filter.calibrated import scoring as scores
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration, probability, score_threshold
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.join.threshold_join import threshold_join
from tests.filter.calibrated.world import (
    VALUES,
    World,
    all_scores,
    raises_of,
)


def test_the_join_finds_what_brute_force_over_all_pairs_finds(
    world: World, training: Training, fit: Fit
) -> None:
    calibration, products = fit.calibration, training.products
    w1, w2, w3, bias = calibration.linear
    raises = raises_of(fit, training)
    for sigma in (0.05, 0.5, 0.9):
        threshold = score_threshold(calibration, sigma)
        expected = set()
        for q in range(len(world.requested)):
            for f in range(len(products.image)):
                cosines = (
                    w1 * float(training.queries.vectors[q] @ products.image[f])
                    + w2 * float(training.queries.vectors[q] @ products.title[f])
                    + w3 * float(products.image[f] @ products.title[f])
                )
                if cosines + bias + float(world.requested[q] @ raises[f]) >= threshold:
                    expected.add((q, f))
        values = ValueScores(calibration, products, VALUES)
        left, right = values.left(training.queries), values.right()
        found = {
            (int(a), int(b))
            for i, j, _ in threshold_join(left, right, threshold)
            for a, b in zip(i, j, strict=True)
        }
        assert expected
        scores = all_scores(fit, training)
        assert not {pair for pair in expected ^ found if abs(scores[pair] - threshold) > 1e-3}


def test_values_that_share_a_column_only_raise_and_the_excess_is_known(
    training: Training, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:

    exact = all_scores(fit, training)
    monkeypatch.setattr(scores, "COLUMNS", 6)
    monkeypatch.setattr(scores, "SHARED", 3)
    raised = all_scores(fit, training)
    q, f = np.divmod(np.arange(exact.size), exact.shape[1])
    values = scores.ValueScores(fit.calibration, training.products, VALUES)
    excess = values.overshoot(training.queries, values.right(), q, f)
    assert (raised >= exact - 1e-4).all()
    assert (raised > exact + 1e-3).any()
    assert raised.ravel() - excess == pytest.approx(exact.ravel(), abs=1e-4)


def test_a_contradiction_vetoes_where_right_pairs_hardly_have_one(
    world: World, training: Training, fit: Fit
) -> None:
    families = fit.calibration.families
    assert families["type"].vetoes == (True, False)
    assert families["color"].vetoes == (False, True)
    assert families["audience"].vetoes == (False, False)
    q, f = np.divmod(np.arange(fit.score.size), len(training.products.image))
    q, f = q[:4000] % len(training.queries.vectors), f[:4000]
    out = ValueScores(fit.calibration, training.products, VALUES).vetoed(training.queries, q, f)
    against = world.agreement[:, f] < 0
    requested = world.requested[q] > 0
    assert (out == (against.any(axis=0) & requested).any(axis=1)).all()


def test_a_fit_survives_its_json(training: Training, fit: Fit) -> None:
    text = json.dumps(fit.calibration.as_dict())
    back = Calibration.from_dict(json.loads(text))
    assert json.dumps(back.as_dict()) == text
    sides = [ValueScores(each, training.products, VALUES) for each in (back, fit.calibration)]
    assert np.array_equal(sides[0].right(), sides[1].right())
    with pytest.raises(UserError, match="cannot be read"):
        Calibration.from_dict({"format": 99})


def test_thresholds_and_probabilities_are_each_others_inverse(fit: Fit) -> None:
    calibration = fit.calibration
    assert (np.diff(calibration.probabilities) > 0).all()
    assert (np.diff(calibration.scores) > 0).all()
    for sigma in (0.1, 0.5, 0.9):
        threshold = score_threshold(calibration, sigma)
        assert probability(calibration, np.array([threshold]))[0] == pytest.approx(sigma)
    assert score_threshold(calibration, 0.0) == float("-inf")
    assert score_threshold(
        replace(calibration, probabilities=calibration.probabilities / 2), 0.9
    ) == (float("inf"))
