"""Fitting the calibrated rule on train clicks and labels; pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genfilt.common.errors import UserError
from genfilt.filter.calibrated.agreement_table import family_numbers
from genfilt.filter.calibrated.attribute_values import FAMILIES, Asked
from genfilt.filter.calibrated.coverage import (
    RELEVANT,
    STRAY,
    UNJUDGED,
    Coverage,
    Evidence,
    Pairs,
    estimate_coverage,
    stray_rate,
)
from genfilt.filter.calibrated.model import Calibration, Weight
from genfilt.filter.calibrated.query_values import Queries
from genfilt.filter.calibrated.scoring import PAIRS_AT_A_TIME, Products, lone_contradictions
from genfilt.filter.calibrated.title_models import (
    FOLDS,
    Floats,
    Matrix,
    Rows,
    TitleModels,
    fit_title_models,
    history,
)

WIDTH = 7  # features a family
PASSES = 3  # over coverage and stray clicks
ROUNDS = 30  # of expectation and isotonic regression
RIDGE = 1.0  # on standardised weights, in pairs
VETO = 0.05  # a family vetoes where fewer of the right pairs contradict it
FEWEST_POSITIVE = 20
CONTRADICTED = 20_000
STEPS = 200  # of the optimiser
MOST_TAUGHT = 1.5  # times a logit that its ridge held back; more is memory of a few titles
FIRST_OFFSET = -4.0  # logit of a plausible base rate

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Training:
    """All that a fit reads.

    Attributes:
        queries, products: rows that `pairs` point to.
        values: (V,) the asked values, in the order of the arrays' columns.
        pairs: train pairs that stand for all of them.
        log: all pairs that train clicks and labels speak of.
            made_for: written into the calibration.
        base_rate: share of relevant pairs where the user knows it.
    """

    queries: Queries
    products: Products
    values: Sequence[Asked]
    pairs: Pairs
    log: Pairs
    made_for: dict[str, str]
    base_rate: float | None = None


@dataclass(frozen=True)
class Fit:
    """A calibration and what its fit says of the train pairs.

    Attributes:
        calibration: the rule.
        pairs: (K) the train pairs that it rests on.
        score: (K,) score of each pair by weights that never met its query.
        relevant: (K,) estimated probability of relevance of each pair, all evidence counted.
        vetoed: (K,) pairs that a contradiction rules out.
        unseen: (Q,) share of each query's relevant pairs that neither click nor label shows.
    """

    calibration: Calibration
    pairs: Pairs
    score: Floats
    relevant: Floats
    vetoed: Marks
    unseen: Floats


def fit_calibration(training: Training, *, attributes: bool = True) -> Fit:
    """Fit the rule; see `_fit`. One thread: the products are too small to share among more."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return _fit(training, attributes)


def _fit(training: Training, attributes: bool) -> Fit:
    """Fit the weights, what the log teaches of values, and the monotone map.

    Scores that the map is fitted on are crossed over queries, what they take from titles over
    folds of titles, and what they take from a product's history leaves out the pair's own query,
    so that the map holds for queries and products that the fit has not met.

    Raises:
        UserError: too few pairs are known to be relevant.
    """
    pairs = training.pairs
    if pairs.known.sum() < FEWEST_POSITIVE:
        raise UserError(
            f"Only {int(pairs.known.sum())} train pairs are known to be relevant and a calibration "
            f"needs {FEWEST_POSITIVE}; ingest more clicks or labels, or use --rule paper."
        )
    products = training.products
    taught: dict[Asked, Matrix] = {}
    if attributes:
        taught = fit_title_models(products.whole, products.fold, training.values, products.counts)
    design = Design.of(training, taught, attributes)
    design, pairs = _thinned(design, pairs)
    training = replace(training, pairs=pairs)
    evidence, coverage, weights, relevant = _settle(design, training)
    fold = _folds(len(training.queries.vectors))[pairs.q]
    score = np.empty(len(pairs.q))
    for at in range(FOLDS):
        out = fold == at
        part = _fit_weights(design, pairs.weight, evidence, ~out, weights)
        score[out] = design.rows[out] @ part[:-1] + part[-1]
    scores, levels, relevant = _monotone(score, pairs.weight, evidence, relevant)
    rate = float((relevant * pairs.weight).sum() / pairs.weight.sum())
    calibration = Calibration(
        training.made_for,
        weights[[0, 1, 2, -1]],
        design.families(weights),
        taught,
        scores,
        levels,
        rate,
        coverage.method,
    )
    unseen = np.clip(1 - coverage.known, 1e-3, 1.0)
    return Fit(calibration, pairs, score, relevant, design.vetoed, unseen)


@dataclass(frozen=True)
class Design:
    """The pairs as rows of features: q.i, q.t, i.t, then WIDTH columns a family.

    They are: named; confirmed by title, by picture; contradicted by title, by picture; history;
    taught.
    """

    rows: Floats  # (K, 3 + WIDTH G)
    names: tuple[str, ...]  # (G,) families that queries ask for
    vetoes: Marks  # (G, 2) by title, by picture
    vetoed: Marks  # (K,)
    contradicted: Marks  # (K,) by any text, where the other does not confirm

    @classmethod
    def of(cls, training: Training, taught: dict[Asked, Matrix], attributes: bool) -> Design:
        """Lay out the features of the pairs."""
        products, pairs, values = training.products, training.pairs, training.values
        families = np.unique(family_numbers(values)) if attributes else np.zeros(0, dtype=np.int64)
        told = TitleModels.of(taught, products.whole, products.fold, values)
        rows = np.zeros((len(pairs.q), 3 + WIDTH * len(families)))
        against = np.zeros((len(rows), len(families), 2), dtype=bool)
        for start in range(0, len(rows), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            rows[part], against[part] = _features(training, told, families, part)
        blocks = rows[:, 3:].reshape(len(rows), len(families), WIDTH)
        vetoes = _reliable(pairs, blocks[:, :, 1:3] > 0, against)
        vetoed = np.asarray((against & vetoes).any(axis=(1, 2)))
        names = tuple(FAMILIES[family] for family in families)
        return cls(rows, names, vetoes, vetoed, np.asarray(against.any(axis=(1, 2))))

    def only(self, keep: Marks) -> Design:
        """Return the kept pairs."""
        kept = self.rows[keep], self.vetoed[keep], self.contradicted[keep]
        return replace(self, rows=kept[0], vetoed=kept[1], contradicted=kept[2])

    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Return what each weight may be: a confirmation never lowers a score."""
        free, up, down = (None, None), (0.0, None), (None, 0.0)
        family = [free, up, up, down, down, up, (0.0, MOST_TAUGHT)]
        return [up, up, free, *(family * len(self.names)), free]

    def families(self, weights: Floats) -> dict[str, Weight]:
        """Return the fitted weights by family."""
        found = {}
        for at, name in enumerate(self.names):
            named, *said, history_, taught = weights[3 + WIDTH * at :][:WIDTH].tolist()
            found[name] = Weight(
                named=named,
                confirm=(said[0], said[1]),
                contradict=(said[2], said[3]),
                history=history_,
                taught=taught,
                vetoes=(bool(self.vetoes[at, 0]), bool(self.vetoes[at, 1])),
            )
        return found


def _features(
    training: Training, told: TitleModels, families: Rows, part: slice
) -> tuple[Floats, Marks]:
    """Return rows of `Design.rows`, and by family what the title, the picture contradicts alone."""
    pairs, queries, products = training.pairs, training.queries, training.products
    q, f = pairs.q[part], pairs.f[part]
    vectors, image, title = queries.vectors[q], products.image[f], products.title[f]
    cosines = [
        np.einsum("kd,kd->k", left, right, dtype=np.float64)
        for left, right in ((vectors, image), (vectors, title), (image, title))
    ]
    v, share = queries.asked[q], queries.share[q].astype(np.float64)  # (K, A)
    rows = f[:, None]
    verdict = products.agreement_table.at(rows, v)
    lone = lone_contradictions(verdict)
    yes, no = products.counts.at(rows, v)
    own = (share > 0) & pairs.known[part][:, None]  # the pair must not prove itself
    seen = history(yes - own, no)
    seen[products.fold[f] % 2 == 0] = 0.0  # so that the fit meets products that nobody clicked
    silent = (verdict == 0).all(axis=0)
    blocks = [
        np.ones_like(share),
        *(verdict > 0),
        *(verdict < 0),
        seen,
        silent * np.where(seen == 0, told.at(rows, v), 0.0),
    ]
    features = np.zeros((len(q), len(families), WIDTH))
    against = np.zeros((len(q), len(families), 2), dtype=bool)
    of = products.agreement_table.family[v]
    for at, family in enumerate(families):
        mine = np.where(of == family, share, 0.0)
        features[:, at] = np.stack([(mine * block).sum(axis=1) for block in blocks], axis=-1)
        against[:, at] = ((mine > 0) & lone).any(axis=2).T
    return np.hstack([np.stack(cosines, axis=-1), features.reshape(len(q), -1)]), against


def _reliable(pairs: Pairs, confirmed: Marks, against: Marks) -> Marks:  # (G, 2)
    """Tell which texts hardly ever contradict right pairs: those may rule a pair out.

    Right pairs are those labelled so or clicked again: a single click may be a slip.
    """
    sure = (pairs.label == RELEVANT) | (pairs.known & (pairs.clicks > 1))
    sure = sure if sure.sum() >= FEWEST_POSITIVE else pairs.known
    said = (confirmed | against)[sure].sum(axis=0)
    wrong = against[sure].sum(axis=0)
    return np.asarray((said >= FEWEST_POSITIVE) & (wrong <= VETO * said))


def _thinned(design: Design, pairs: Pairs) -> tuple[Design, Pairs]:
    """Draw from the unknown pairs that are contradicted: most pairs, of which a few tell enough."""
    common = np.flatnonzero(design.contradicted & (pairs.clicks == 0) & (pairs.label == UNJUDGED))
    if len(common) <= CONTRADICTED:
        return design, pairs
    drawn = np.random.default_rng(0).choice(common, size=CONTRADICTED, replace=False)
    weight = pairs.weight.copy()
    weight[drawn] *= weight[common].sum() / weight[drawn].sum()
    keep = np.ones(len(weight), dtype=bool)
    keep[common] = False
    keep[drawn] = True
    return design.only(keep), replace(pairs, weight=weight).only(keep)


def _settle(design: Design, training: Training) -> tuple[Evidence, Coverage, Floats, Floats]:
    """Fit the weights, the coverage and the rate of stray clicks in turns.

    Returns the evidence, its coverage, the (M + 1,) weights, offset last, and each pair's
    expected relevance.
    """
    pairs, queries = training.pairs, len(training.queries.vectors)
    weight = pairs.weight
    everything = np.ones(len(weight), dtype=bool)
    stray = STRAY
    size: Floats | None = None
    weights = np.append(np.zeros(design.rows.shape[1]), FIRST_OFFSET)
    for _ in range(PASSES):
        coverage = estimate_coverage(pairs, queries, training.base_rate, size)
        evidence = Evidence.of(pairs, coverage, stray)
        weights = _fit_weights(design, weight, evidence, everything, weights)
        model = _sigmoid(design.rows @ weights[:-1] + weights[-1])
        size = np.bincount(pairs.q, weights=pairs.weight * model, minlength=queries).astype(float)
        relevant = evidence.posterior(model)
        stray = stray_rate(pairs, relevant)
    return evidence, coverage, weights, relevant


def _fit_weights(
    design: Design, weight: Floats, evidence: Evidence, use: Marks, start: Floats
) -> Floats:
    """Maximise the likelihood of what was seen, sum of log(p if_relevant + (1 - p) if_not).

    p is the logistic of the linear score; unknown pairs are neither positives nor negatives.
    """
    from scipy.optimize import minimize

    spread = np.sqrt(np.average(design.rows**2, axis=0, weights=weight))
    scale = np.append(np.where(spread > 1e-9, spread, 1.0), 1.0)
    x, weight, evidence = design.rows[use] / scale[:-1], weight[use], evidence.only(use)

    def loss(w: Floats) -> tuple[float, Floats]:
        p = np.clip(_sigmoid(x @ w[:-1] + w[-1]), 1e-12, 1 - 1e-12)
        seen = p * evidence.if_relevant + (1 - p) * evidence.if_not
        slope = -weight * (evidence.if_relevant - evidence.if_not) * p * (1 - p) / seen
        penalty = np.append(RIDGE * w[:-1], 0.0)
        value = -weight @ np.log(seen) + 0.5 * penalty @ w
        return float(value), np.append(x.T @ slope, slope.sum()) + penalty

    found = minimize(
        loss,
        start * scale,
        jac=True,
        method="L-BFGS-B",
        bounds=[
            tuple(None if end is None else end * each for end in ends)
            for ends, each in zip(design.bounds(), scale, strict=True)
        ],
        options={"maxiter": STEPS},
    )
    return np.asarray(found.x / scale, dtype=np.float64)


def _monotone(
    score: Floats, weight: Floats, evidence: Evidence, relevant: Floats
) -> tuple[Floats, Floats, Floats]:
    """Fit the map from score to probability.

    Isotonic regression on expected relevance, expectation and regression in turns. Returns the
    knots and the expected relevance.
    """
    from sklearn.isotonic import IsotonicRegression

    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    for _ in range(ROUNDS):
        isotonic.fit(score, relevant, sample_weight=weight)
        relevant = evidence.posterior(isotonic.predict(score))
    scores, levels = _knots(score, isotonic.predict(score), weight)
    return scores, levels, relevant


def _knots(score: Floats, level: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return one knot a step of the isotonic map, at its mean score: lines between them rise."""
    steps, index = np.unique(level, return_inverse=True)
    mass = np.bincount(index, weights=weight)
    centre = np.bincount(index, weights=weight * score) / mass
    if len(steps) == 1:
        return np.append(centre, centre + 1.0), np.append(steps, steps + 1e-9)
    return centre, steps


def _folds(queries: int) -> Rows:
    order = np.random.default_rng(0).permutation(queries)
    return np.asarray(order % FOLDS, dtype=np.int64)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float64)
