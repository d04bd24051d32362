"""How far probabilities can be believed, and the sigma that reaches a wanted precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.filter.calibrated.fit import Fit

GRID = np.round(np.arange(0.0, 1.0, 0.01), 2)
BINS = 10
MIN_CANDIDATE_PROBABILITY = 0.05  # pairs below are no candidates under any sigma that is of use
RESAMPLES = 200
MIN_EXPECTED_PAIRS = 5.0  # expected pairs from which a category has a sigma of its own


@dataclass(frozen=True)
class TrainPairs:
    """Pairs with their predicted and their expected relevance; equally long arrays."""

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


def train_population(fit: Fit) -> TrainPairs:
    """Return the train pairs of a fit, predicted by weights that never met their query."""
    from genfilt.filter.calibrated.model import probability

    pairs = fit.pairs
    predicted = probability(fit.calibration, fit.score)
    return TrainPairs(predicted, fit.relevant, pairs.weight, pairs.q, fit.vetoed, pairs.known)


def reliability(population: TrainPairs, *, lowest: float = 0.0) -> dict[str, Any]:
    """Return the reliability diagram's bins and the expected calibration error.

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
        {
            "from": round(at / BINS, 2),
            "predicted": round(float(predicted_sum[at] / mass[at]), 6),
            "observed": round(float(observed_sum[at] / mass[at]), 6),
            "pairs": round(float(mass[at]), 1),
        }
        for at in range(BINS)
        if mass[at] > 0
    ]
    error = float(np.abs(predicted_sum - observed_sum).sum() / max(mass.sum(), 1e-12))
    return {"bins": bins, "error": round(error, 6), "pairs": round(float(mass.sum()), 1)}


def curve(population: TrainPairs, *, seed: int = 0) -> dict[str, Any]:
    """Return precision and recall of the corrections over GRID, with 95 % intervals.

    Corrections are the pairs that pass, are not vetoed and not known already; recall is of all
    relevant pairs that are not known. Intervals come from resampling queries.
    """
    open_ = ~population.known
    queries, index = np.unique(population.q, return_inverse=True)
    passes = np.searchsorted(GRID, population.predicted + 1e-6, side="right")  # sigmas passed
    passes[population.vetoed] = 0
    tallies = np.zeros((2, len(queries), len(GRID) + 1))
    for row, values in enumerate((population.relevant, np.ones(len(index)))):
        np.add.at(tallies[row], (index[open_], passes[open_]), (population.weight * values)[open_])
    passing = tallies[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]  # (2, Q, S)
    relevant = tallies[0].sum(axis=1)  # (Q,)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(queries), np.full(len(queries), 1 / len(queries)), RESAMPLES)
    sums = np.einsum("rq,kqs->krs", draws.astype(float), passing)
    total = passing.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sigma": GRID.tolist(),
            "precision": _numbers(total[0] / total[1]),
            "precision_ci": _intervals(sums[0] / sums[1]),
            "recall": _numbers(total[0] / relevant.sum()),
            "recall_ci": _intervals(sums[0] / (draws @ relevant)[:, None]),
            "corrections": _numbers(total[1]),
        }


def suggest(found: dict[str, Any], target: float) -> dict[str, Any]:
    """Return the lowest sigma from which on the precision stays at the target, with intervals.

    All None where no sigma reaches it.
    """
    best: dict[str, Any] = dict.fromkeys(
        ("sigma", "precision", "precision_ci", "recall", "recall_ci", "corrections")
    )
    for at in range(len(found["sigma"]) - 1, 0, -1):
        precision, passing = found["precision"][at], found["corrections"][at]
        if precision is None or passing < MIN_EXPECTED_PAIRS:
            continue
        if precision < target:
            break
        best = {name: found[name][at] for name in best}
    return best


def suggest_by(
    population: TrainPairs, groups: Sequence[str], target: float
) -> dict[str, dict[str, Any]]:
    """Return the suggestion for each group of pairs; `groups` names each pair's, "" for none."""
    names = np.asarray(groups)
    return {
        str(name): suggest(curve(population.only(names == name)), target)
        for name in np.unique(names)
        if name
    }


def _numbers(values: Floats) -> list[float | None]:
    return [round(float(value), 6) if np.isfinite(value) else None for value in values]


def _intervals(samples: Floats) -> list[list[float | None]]:
    ends = []
    for column in samples.T:
        defined = column[np.isfinite(column)]
        low_high = np.percentile(defined, (2.5, 97.5)) if len(defined) else np.full(2, np.nan)
        ends.append(_numbers(low_high))
    return ends
