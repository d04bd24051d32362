"""Reliability of the probabilities, and estimated precision and recall over all train pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.common.statistics import resample_groups
from genfilt.filter.calibrated.coverage import CHAPMAN, UNJUDGED
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration, probability, unknown_probability
from genfilt.filter.precision_curve import GRID, TOLERANCE, Curve, intervals, numbers

BINS = 10
MIN_CANDIDATE_PROBABILITY = 0.05  # pairs below are no candidates under any sigma that is of use
RESAMPLES = 200  # of queries; each sums up all their pairs
# Added below and above the resampled interval, for what resampling one shop cannot show: the base
# rate and the form of the model. Chosen so that the intervals at 0.8, 0.9 and 0.95 hold the true
# precision of Luma's train products and of generated shops (27 of 27 there; docs/sigma.md).
LABELLED_ERROR = (0.07, 0.14)
CLICKS_ALONE_ERROR = (0.18, 0.08)


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean predicted and observed relevance of the pairs predicted from `start` on."""

    start: float
    predicted: float
    observed: float
    pairs: float

    def as_dict(self) -> dict[str, float]:
        """Return the keys of `genfilt audit --format json`."""
        return {
            "from": self.start,
            "predicted": self.predicted,
            "observed": self.observed,
            "pairs": self.pairs,
        }


@dataclass(frozen=True)
class Reliability:
    """The bins of a reliability diagram and the expected calibration error."""

    bins: list[ReliabilityBin]
    error: float
    pairs: float

    def as_dict(self) -> dict[str, object]:
        """Return the keys of `genfilt audit --format json`."""
        bins = [each.as_dict() for each in self.bins]
        return {"bins": bins, "error": self.error, "pairs": self.pairs}


@dataclass(frozen=True)
class TrainPairs:
    """Train pairs with their predicted and their expected relevance; equally long arrays."""

    predicted: Floats
    relevant: Floats  # 1 or 0 where it is known, else its probability
    weight: Floats
    q: Rows
    vetoed: Bools
    known: Bools  # already positive: no correction is needed

    def only(self, keep: Bools) -> TrainPairs:
        """Return the kept pairs."""
        floats = (self.predicted[keep], self.relevant[keep], self.weight[keep])
        return TrainPairs(*floats, self.q[keep], self.vetoed[keep], self.known[keep])

    @classmethod
    def joined(cls, parts: Sequence[TrainPairs]) -> TrainPairs:
        """Return the pairs of all parts, in order."""
        names = ("predicted", "relevant", "weight", "q", "vetoed", "known")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def predictions(fit: Fit) -> Floats:
    """Return the probability of each pair of a fit, for unknown pairs as the filter gives it."""
    pairs = fit.pairs
    logged = (pairs.clicks > 0) | (pairs.label != UNJUDGED)
    unseen = np.where(logged, 1.0, fit.unseen[pairs.q])
    return unknown_probability(probability(fit.calibration, fit.score), unseen)


def train_population(fit: Fit, groups: Sequence[str] | None = None) -> TrainPairs:
    """Return the train pairs of a fit, predicted by weights fitted without their query.

    Pairs whose score counts their product's clicks, as that of the filter does, stand for all of
    their group: the others have the weight 0, but in groups that have no such pair. `groups` names
    the group of each pair; by default all are one.
    """
    pairs = fit.pairs
    names = [""] * len(pairs.q) if groups is None else groups
    weight = _standing_for_group(pairs.weight, fit.counted, names)
    return TrainPairs(predictions(fit), fit.relevant, weight, pairs.q, fit.vetoed, pairs.known)


def _standing_for_group(weight: Floats, counted: Bools, groups: Sequence[str]) -> Floats:
    """Return weights of the counted pairs that sum to those of all pairs of their group, (K,)."""
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    all_of, counted_of = (
        np.bincount(group, weights=values, minlength=len(names))
        for values in (weight, np.where(counted, weight, 0.0))
    )
    share = (all_of / np.where(counted_of > 0, counted_of, 1.0))[group]
    return np.where(counted_of[group] > 0, np.where(counted, weight * share, 0.0), weight)


def reliability(population: TrainPairs, *, lowest: float = 0.0) -> Reliability:
    """Return the reliability diagram and the expected calibration error.

    The error is the mean over pairs of |predicted - observed| of their bin, of BINS equal ones.
    With `lowest` only pairs predicted from there on count: over all pairs nearly everything is
    irrelevant and predicted so, and the error is small for that alone.
    """
    use = (population.predicted >= lowest) & ~population.vetoed
    predicted, relevant = population.predicted[use], population.relevant[use]
    weight = population.weight[use]
    place = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    mass, predicted_sum, observed_sum = (
        np.bincount(place, weights=weight * values, minlength=BINS)
        for values in (np.ones(len(weight)), predicted, relevant)
    )
    bins = [
        ReliabilityBin(
            start=round(at / BINS, 2),
            predicted=round(float(predicted_sum[at] / mass[at]), 6),
            observed=round(float(observed_sum[at] / mass[at]), 6),
            pairs=round(float(mass[at]), 1),
        )
        for at in range(BINS)
        if mass[at] > 0
    ]
    error = float(np.abs(predicted_sum - observed_sum).sum() / max(mass.sum(), 1e-12))
    return Reliability(bins, round(error, 6), round(float(mass.sum()), 1))


def model_error(calibration: Calibration) -> tuple[float, float]:
    """Return what the intervals of a precision have below and above the resampled ones."""
    return LABELLED_ERROR if calibration.method == CHAPMAN else CLICKS_ALONE_ERROR


def estimated_curve(population: TrainPairs, error: tuple[float, float] = (0.0, 0.0)) -> Curve:
    """Return the estimated precision and recall of the corrections over GRID.

    Corrections are the pairs that pass, are not vetoed and not known already; recall is of all
    relevant pairs that are not known. Intervals come from resampling queries; those of the
    precision are widened by the model's `error`.
    """
    unknown = ~population.known
    queries, index = np.unique(population.q, return_inverse=True)
    passes = np.searchsorted(GRID, population.predicted + TOLERANCE, side="right")
    passes[population.vetoed] = 0
    tallies = np.zeros((2, len(queries), len(GRID) + 1))
    for row, values in enumerate((population.relevant, np.ones(len(index)))):
        mass = (population.weight * values)[unknown]
        np.add.at(tallies[row], (index[unknown], passes[unknown]), mass)
    passing = tallies[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]  # (2, Q, S)
    relevant = tallies[0].sum(axis=1)  # (Q,)
    draws = resample_groups(np.arange(len(queries)), RESAMPLES)
    sums = np.einsum("rq,kqs->krs", draws, passing)
    total = passing.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Curve(
            sigma=GRID.tolist(),
            precision=numbers(total[0] / total[1]),
            precision_ci=intervals(sums[0] / sums[1], error),
            recall=numbers(total[0] / relevant.sum()),
            recall_ci=intervals(sums[0] / (draws @ relevant)[:, None]),
            corrections=numbers(total[1]),
        )


def curves_by_group(
    population: TrainPairs, groups: Sequence[str], error: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Curve]:
    """Return the curve of each group of pairs; `groups` names each pair's, "" for none."""
    names = np.asarray(groups)
    return {
        str(name): estimated_curve(population.only(names == name), error)
        for name in np.unique(names)
        if name
    }
