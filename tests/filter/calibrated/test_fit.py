from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.filter.agreement.agreement_table import AgreementTable, family_numbers
from genfilt.filter.agreement.attribute_values import FAMILIES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated import scoring as scores
from genfilt.filter.calibrated.click_counts import count_values
from genfilt.filter.calibrated.coverage import Evidence, Pairs, estimate_coverage
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.calibrated.model import Calibration, probability, score_threshold
from genfilt.filter.calibrated.reliability import estimated_curve, reliability, train_population
from genfilt.filter.calibrated.sampling import sample_pairs, with_log
from genfilt.filter.calibrated.scoring import Products, ValueScores
from genfilt.filter.calibrated.title_models import (
    FOLDS,
    TitleModels,
    fit_title_models,
    title_folds,
)
from genfilt.filter.precision_curve import best_sigma
from genfilt.join.threshold_join import threshold_join

WIDTH = 24
COLORS = ("red", "blue", "green", "black", "white")
TYPES = ("tank", "hoodie", "mug", "lamp")
AUDIENCES = ("women", "men")
VALUES: list[RequestedValue] = [
    *(("type", name) for name in TYPES),
    *(("color", name) for name in COLORS),
    *(("audience", name) for name in AUDIENCES),
]

_NO_ROWS = np.zeros(0, dtype=np.int64)
NOTHING = Pairs(_NO_ROWS, _NO_ROWS, np.zeros(0), _NO_ROWS, np.zeros(0, dtype=np.int8))


class World:
    """Products whose text tells the type, whose picture the colour; nothing tells the audience.

    Titles of women's and men's products lie on two sides of a direction, as first names do.
    """

    def __init__(self, queries: int = 160, products: int = 150, seed: int = 0) -> None:
        self.rng = rng = np.random.default_rng(seed)
        directions = _unit(rng.normal(size=(len(VALUES), WIDTH)))
        self.facets = np.stack([rng.integers(len(n), size=products) for n in _families()])
        self.needs = np.stack([rng.integers(len(n), size=queries) for n in _families()])
        for family in (1, 2):
            self.needs[family, rng.random(queries) < 0.4] = -1  # not requested for
        self.truth = np.all(
            (self.needs[:, :, None] == self.facets[:, None]) | (self.needs[:, :, None] < 0), axis=0
        )
        starts = (0, len(TYPES), len(TYPES) + len(COLORS))
        self.requested = np.zeros((queries, len(VALUES)), dtype=np.float32)
        for family, start in enumerate(starts):
            rows = np.flatnonzero(self.needs[family] >= 0)
            self.requested[rows, start + self.needs[family, rows]] = 1
        self.agreement = agreement = np.zeros((2, products, len(VALUES)), dtype=np.int8)
        for family, start in enumerate(starts[:2]):
            size = len(_families()[family])
            agreement[family, :, start : start + size] = -1
            agreement[family, np.arange(products), start + self.facets[family]] = 1
        noise = rng.normal(scale=0.1, size=(3, max(queries, products), WIDTH))
        image = directions[starts[1] + self.facets[1]] + directions[self.facets[0]]
        whole = directions[starts[2] + self.facets[2]] + noise[1, :products]
        wanted = [[VALUES[at] for at in np.flatnonzero(row)] for row in self.requested]
        vectors = _unit(self.requested @ directions + noise[0, :queries])
        self.queries = Queries.of(vectors, wanted, VALUES)
        self.products = Products(
            image=_unit(image + noise[2, :products]),
            title=_unit(directions[self.facets[0]] + noise[1, :products]),
            written=_unit(whole),
            fold=title_folds([f"title {row}" for row in range(products)]),
            agreement_table=_kept(agreement),
            counts=count_values(self.queries, VALUES, NOTHING, products),
        )
        self.train = np.arange(int(products * 0.7))

    def log(self, clicked: float = 0.5, labelled: float = 0.4, noise: int = 30) -> Pairs:
        """Draw clicks and labels of train products, and a few clicks that mean nothing."""
        truth = self.truth[:, self.train]
        clicks = truth * self.rng.poisson(-np.log(1 - clicked), size=truth.shape)
        wrong = self.rng.integers((len(truth), len(self.train)), size=(noise, 2))
        clicks[wrong[:, 0], wrong[:, 1]] += 1
        label = np.full(truth.shape, -1, dtype=np.int8)
        label[truth & (self.rng.random(truth.shape) < labelled)] = 1
        label[~truth & (self.rng.random(truth.shape) < 0.02)] = 0
        q, f = np.nonzero((clicks > 0) | (label >= 0))
        return Pairs(q, self.train[f], np.ones(len(q)), clicks[q, f], label[q, f])

    def training(self, log: Pairs, base_rate: float | None = None) -> Training:
        counts = count_values(self.queries, VALUES, log, len(self.products.written))
        products = replace(self.products, counts=counts)
        pairs = sample_pairs(self.queries, products, log, self.train)
        return Training(self.queries, products, VALUES, pairs, log, {"data": "d"}, base_rate)


def _kept(table: np.ndarray) -> AgreementTable:
    """Return a table of agreements, (2, F, V), as they are kept."""
    family = family_numbers(VALUES)
    place = np.array([(family[:at] == family[at]).sum() for at in range(len(VALUES))])
    rows = np.broadcast_to(np.arange(table.shape[1]), (2, len(FAMILIES), table.shape[1]))
    blocks = [[layer[:, family == each] for each in range(len(FAMILIES))] for layer in table]
    none = np.zeros(0, dtype=np.int64)
    return AgreementTable(family, place, rows, tuple(map(tuple, blocks)), (none, none))


def _families() -> tuple[tuple[str, ...], ...]:
    return TYPES, COLORS, AUDIENCES


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def training(world: World) -> Training:
    return world.training(world.log())


@pytest.fixture(scope="module")
def fit(training: Training) -> Fit:
    return fit_calibration(training)


def all_scores(fit: Fit, training: Training) -> np.ndarray:
    scores = ValueScores(fit.calibration, training.products, VALUES)
    return scores.left(training.queries).astype(np.float64) @ scores.right().T.astype(np.float64)


def raises_of(fit: Fit, training: Training) -> np.ndarray:
    """Return s(f, v), (F, V)."""
    scores = ValueScores(fit.calibration, training.products, VALUES)
    return scores.at(np.arange(len(training.products.image))[:, None], np.arange(len(VALUES)))


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


def test_a_text_that_is_often_wrong_does_not_veto(world: World) -> None:
    noisy = world.agreement.copy()
    noisy[1] = noisy[1][np.random.default_rng(0).permutation(noisy.shape[1])]
    broken = World()
    broken.products = replace(broken.products, agreement_table=_kept(noisy))
    fit = fit_calibration(broken.training(broken.log()))
    assert fit.calibration.families["color"].vetoes == (False, False)
    assert fit.calibration.families["color"].confirm[1] < 1.0


def test_the_share_of_relevant_pairs_is_found_from_clicks_and_labels(world: World) -> None:
    rate = world.truth[:, world.train].mean()
    for clicked, labelled in ((0.5, 0.4), (0.2, 0.2), (0.7, 0.3)):
        fit = fit_calibration(world.training(world.log(clicked, labelled)))
        assert fit.calibration.base_rate == pytest.approx(rate, rel=0.15)
        assert "Chapman" in fit.calibration.method


def test_clicks_alone_give_a_cautious_share(world: World) -> None:
    log = world.log(clicked=0.7, labelled=0.0)
    log = log.only(log.label < 0)
    fit = fit_calibration(world.training(log))
    rate = world.truth[:, world.train].mean()
    assert "Chao" in fit.calibration.method
    assert 0.5 * rate < fit.calibration.base_rate < 1.2 * rate


def test_a_given_base_rate_is_kept(world: World) -> None:
    rate = float(world.truth[:, world.train].mean())
    fit = fit_calibration(world.training(world.log(), base_rate=rate))
    assert fit.calibration.base_rate == pytest.approx(rate, rel=0.15)
    assert "given" in fit.calibration.method


def test_coverage_counts_what_two_looks_share() -> None:
    rng = np.random.default_rng(0)
    looked = rng.random((2, 40, 25)) < np.array([0.6, 0.5])[:, None, None]
    q, f = np.nonzero(looked.any(axis=0))
    label = np.where(looked[1][q, f], 1, -1).astype(np.int8)
    pairs = Pairs(q, f, np.ones(len(q)), looked[0][q, f].astype(np.int64), label)
    coverage = estimate_coverage(pairs, 40)
    assert coverage.relevant.sum() == pytest.approx(1000, rel=0.05)
    assert coverage.clicked.mean() == pytest.approx(0.6, abs=0.05)
    assert coverage.known.mean() == pytest.approx(0.8, abs=0.05)


def test_labels_decide_and_unknown_pairs_are_weighed() -> None:
    label = np.array([1, 0, -1, -1], dtype=np.int8)
    pairs = Pairs(np.zeros(4, np.int64), np.arange(4), np.ones(4), np.array([0, 5, 1, 0]), label)
    coverage = estimate_coverage(pairs, 1)
    posterior = Evidence.of(pairs, coverage, 0.01).posterior(np.full(4, 0.5))
    assert posterior[0] == 1
    assert posterior[1] == 0
    assert posterior[2] > 0.5 > posterior[3]


def test_a_sample_stands_for_all_pairs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = world.log()
    everything = sample_pairs(world.queries, world.products, log, world.train)
    assert len(everything.q) == len(world.requested) * len(world.train)
    monkeypatch.setattr("genfilt.filter.calibrated.sampling.MAX_PAIRS", 6000)
    part = sample_pairs(world.queries, world.products, log, world.train)
    assert len(part.q) < 0.6 * len(everything.q)
    assert part.weight.sum() == pytest.approx(len(everything.q))
    logged = set(zip(log.q.tolist(), log.f.tolist(), strict=True))
    assert logged <= set(zip(part.q.tolist(), part.f.tolist(), strict=True))
    assert len(set(zip(part.q.tolist(), part.f.tolist(), strict=True))) == len(part.q)


def test_the_log_is_found_for_each_pair() -> None:
    log = Pairs(
        np.array([2, 0]), np.array([1, 3]), np.ones(2), np.array([4, 0]), np.array([-1, 1], np.int8)
    )
    pairs = with_log(np.array([0, 2, 2]), np.array([3, 1, 2]), np.ones(3), log, 4)
    assert pairs.clicks.tolist() == [0, 4, 0]
    assert pairs.label.tolist() == [1, -1, -1]


def test_a_fit_survives_its_json_and_names_other_data(training: Training, fit: Fit) -> None:
    text = json.dumps(fit.calibration.as_dict())
    back = Calibration.from_dict(json.loads(text))
    assert json.dumps(back.as_dict()) == text
    sides = [ValueScores(each, training.products, VALUES) for each in (back, fit.calibration)]
    assert np.array_equal(sides[0].right(), sides[1].right())
    assert back.difference({"data": "d"}) is None
    assert back.difference({"data": "e"}) == "data"
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
