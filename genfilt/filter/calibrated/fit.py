"""Maximum-likelihood fit of the calibrated rule on train clicks and labels; functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.common.errors import UserError
from genfilt.filter.agreement.attribute_values import RequestedValue
from genfilt.filter.calibrated.coverage import (
    BETWEEN_BOUNDS,
    CLICKS_ALONE,
    INITIAL_MISCLICK_RATE,
    MIN_UNSEEN_SHARE,
    Coverage,
    Evidence,
    FewClicks,
    Pairs,
    estimate_coverage,
    misclick_rate,
)
from genfilt.filter.calibrated.design import (
    MIN_RELEVANT_PAIRS,
    Design,
    Training,
    counts_clicks,
)
from genfilt.filter.calibrated.model import Calibration, fit_isotonic, probability
from genfilt.filter.calibrated.query_offsets import choose_offsets, fit_offsets
from genfilt.filter.calibrated.title_models import FOLDS, fit_title_models
from genfilt.filter.relevant_share import few_clicks, rate_range

COVERAGE_PASSES = 3  # over weights, coverage and misclick rate: the third changes little
RIDGE = 1.0  # on standardised weights, in pairs
OPTIMISER_STEPS = 200
INITIAL_OFFSET = -4.0  # logit of 0.018, a common share of relevant pairs


@dataclass(frozen=True)
class Fit:
    """A calibration and its estimates for the train pairs.

    Attributes:
        calibration: the rule.
        pairs: (K) train pairs that stand for all of them.
        stands_for: (Q,) factor in the weights of each query's pairs, for the queries and products
            that were not read.
        score: (K,) score of each pair by weights that were fitted without its query.
        relevant: (K,) estimated probability of relevance of each pair given all evidence.
        vetoed: (K,) pairs that a contradiction rules out.
        counted: (K,) pairs whose score counts the product's clicks, as that of the filter does.
        unseen: (Q,) share of each query's relevant pairs with neither click nor label.
        offsets: (Q, FOLDS) offset of each query for titles of each fold.
    """

    calibration: Calibration
    pairs: Pairs
    stands_for: Floats
    score: Floats
    relevant: Floats
    vetoed: Bools
    counted: Bools
    unseen: Floats
    offsets: Floats

    def only(self, keep: Bools) -> Fit:
        """Return the fit with the kept pairs."""
        return replace(
            self,
            pairs=self.pairs.only(keep),
            score=self.score[keep],
            relevant=self.relevant[keep],
            vetoed=self.vetoed[keep],
            counted=self.counted[keep],
        )

    def standing_for(self, pairs: float) -> Fit:
        """Return the fit with weights that sum to so many pairs, where it has any."""
        scale = pairs / max(float(self.pairs.weight.sum()), 1e-12)
        its = replace(self.pairs, weight=self.pairs.weight * scale)
        return replace(self, pairs=its, stands_for=self.stands_for * scale)


def fit_calibration(training: Training, *, attributes: bool = True) -> Fit:
    """Fit the weights, the title models and the monotone map from score to probability.

    Scores that the map is fitted on are cross-fitted over queries; title models over folds of
    titles; a pair's click log odds leave out its own query. So the map holds for queries and
    products that the fit has not met.

    Raises:
        UserError: fewer than MIN_RELEVANT_PAIRS pairs are known to be relevant.
    """
    from threadpoolctl import threadpool_limits

    known = int(training.pairs.known.sum())
    if known < MIN_RELEVANT_PAIRS:
        raise UserError(
            f"Only {known} train pairs are known to be relevant and a calibration "
            f"needs {MIN_RELEVANT_PAIRS}; ingest more clicks or labels, or use --rule paper."
        )
    with threadpool_limits(limits=1):  # the products are too small to share among threads
        return _fit(training, attributes)


def _fit(training: Training, attributes: bool) -> Fit:
    products = training.products
    models: dict[RequestedValue, Vectors] = {}
    if attributes:
        models = fit_title_models(products.written, products.fold, training.values, products.counts)
    design, pairs = Design.of(training, models, attributes).thinned(training.pairs)
    read = training.fitted[pairs.q]
    fit, weights = _fit_queries(design.only(read), training, pairs.only(read), models)
    # Of the other queries nobody has seen anything: what the weights say of their pairs is all.
    score = design.rows @ weights[:-1] + weights[-1]
    relevant = probability(fit.calibration, score)
    score[read], relevant[read] = fit.score, fit.relevant
    base_rate = float((relevant * pairs.weight).sum() / pairs.weight.sum())
    calibration = fit.calibration.for_base_rate(base_rate)
    counted = counts_clicks(products.fold[pairs.f])
    its = (calibration, pairs, training.stands_for, score, relevant, design.vetoed, counted)
    return Fit(*its, fit.unseen, fit.offsets)


def _fit_queries(
    design: Design, training: Training, pairs: Pairs, models: dict[RequestedValue, Vectors]
) -> tuple[Fit, Floats]:
    """Fit the pairs of the queries that are fitted on.

    Their weights are taken without the queries that each stands for: a click is one click. Returns
    the fit and its weights.
    """
    queries = training.fitted
    row = np.cumsum(queries) - 1  # of each query among those fitted on
    weight = pairs.weight / training.stands_for[pairs.q]
    log = replace(pairs, q=row[pairs.q], weight=weight)
    fold = training.products.fold[pairs.f]
    count = int(queries.sum())
    found, rates = _fit_log(design, log, count, training.base_rate)
    evidence, weights = found.evidence, found.weights
    crossed, strength = choose_offsets(found.score, log, fold, evidence, count)
    score = found.score + crossed[log.q, fold]
    offsets = np.zeros((len(queries), crossed.shape[1]))
    if strength is not None:
        linear = design.rows @ weights[:-1] + weights[-1]
        offsets[queries] = fit_offsets(linear, log, fold, evidence, count, strength)
    scores, levels, relevant = fit_isotonic(score, weight, evidence, found.relevant)
    base_rate = float((relevant * weight).sum() / weight.sum())
    if rates is not None:  # the weights and the counts are two estimates of one share
        rates = min(rates[0], base_rate), max(rates[1], base_rate)
    calibration = Calibration(
        made_for=training.made_for,
        linear=weights[[0, 1, 2, -1]],
        families=design.families(weights),
        title_models=models,
        scores=scores,
        probabilities=levels,
        base_rate=base_rate,
        method=found.coverage.method,
        base_rate_range=rates,
    )
    unseen = _unseen(training, found.coverage)
    its = (calibration, pairs, training.stands_for, score, relevant, design.vetoed)
    return Fit(*its, counts_clicks(fold), unseen, offsets), weights


def _unseen(training: Training, coverage: Coverage) -> Floats:
    """Return the share of each query's relevant pairs with neither click nor label, (Q,).

    Of queries of the log that a sample left out it is the mean of the others; of those that the log
    does not have, where they were not fitted on, it is all.
    """
    mean = np.average(coverage.known, weights=np.maximum(coverage.relevant, 1e-9))
    known = np.where(training.logged, mean, 0.0)
    known[training.fitted] = coverage.known
    return np.asarray(np.clip(1 - known, MIN_UNSEEN_SHARE, 1.0))


@dataclass(frozen=True)
class LogFit:
    """The weights and what they make of the log.

    Attributes:
        evidence: of each pair.
        coverage: of each query's relevant pairs.
        weights: (M + 1,), offset last.
        relevant: (K,) expected relevance of each pair.
        score: (K,) of each pair, by weights that were fitted without its query.
    """

    evidence: Evidence
    coverage: Coverage
    weights: Floats
    relevant: Floats
    score: Floats


def _fit_log(
    design: Design, pairs: Pairs, queries: int, base_rate: float | None
) -> tuple[LogFit, tuple[float, float] | None]:
    """Fit the log, with clicks alone once more by the bounds of the share of relevant pairs.

    Returns the last fit and the bounds, None where there are none.
    """
    found = _fit_coverage_and_weights(design, pairs, queries, base_rate)
    method = found.coverage.method
    rates = rate_range(pairs, found.coverage, found.score, ~design.vetoed)
    few = few_clicks(pairs, found.score, ~design.vetoed, queries)
    if method != CLICKS_ALONE and few is None:
        return found, rates
    if method == CLICKS_ALONE and rates is not None:
        base_rate = float(np.sqrt(rates[0] * rates[1]))
        method = BETWEEN_BOUNDS
    found = _fit_coverage_and_weights(design, pairs, queries, base_rate, few)
    return replace(found, coverage=replace(found.coverage, method=method)), rates


def _fit_coverage_and_weights(
    design: Design,
    pairs: Pairs,
    queries: int,
    base_rate: float | None,
    few: FewClicks | None = None,
) -> LogFit:
    """Fit the weights, the coverage and the misclick rate in turns."""
    everything = np.ones(len(pairs.weight), dtype=bool)
    misclick = INITIAL_MISCLICK_RATE
    size: Floats | None = None
    weights = np.append(np.zeros(design.rows.shape[1]), INITIAL_OFFSET)
    for _ in range(COVERAGE_PASSES):
        coverage = estimate_coverage(pairs, queries, base_rate, size, few)
        evidence = Evidence.of(pairs, coverage, misclick)
        weights = _fit_weights(design, pairs.weight, evidence, everything, weights)
        model = _sigmoid(design.rows @ weights[:-1] + weights[-1])
        size = np.bincount(pairs.q, weights=pairs.weight * model, minlength=queries).astype(float)
        relevant = evidence.posterior(model)
        misclick = misclick_rate(pairs, relevant)
    score = _cross_fitted_scores(design, pairs, queries, evidence, weights)
    return LogFit(evidence, coverage, weights, relevant, score)


def _cross_fitted_scores(
    design: Design, pairs: Pairs, queries: int, evidence: Evidence, weights: Floats
) -> Floats:
    """Return the score of each pair by weights fitted without its query's fold, (K,)."""
    fold = _query_folds(queries)[pairs.q]
    score = np.empty(len(pairs.q))
    for at in range(FOLDS):
        out = fold == at
        part = _fit_weights(design, pairs.weight, evidence, ~out, weights)
        score[out] = design.rows[out] @ part[:-1] + part[-1]
    return score


def _fit_weights(
    design: Design, weight: Floats, evidence: Evidence, use: Bools, start: Floats
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

    bounds = [
        tuple(None if end is None else end * each for end in ends)
        for ends, each in zip(design.bounds(), scale, strict=True)
    ]
    options = {"maxiter": OPTIMISER_STEPS}
    found = minimize(
        loss, start * scale, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    return np.asarray(found.x / scale, dtype=np.float64)


def _query_folds(queries: int) -> Rows:
    order = np.random.default_rng(0).permutation(queries)
    return np.asarray(order % FOLDS, dtype=np.int64)


def _sigmoid(x: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(x), dtype=np.float64)
