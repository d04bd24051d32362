"""The parameters of the calibrated rule, whose sigma is the probability that a pair is relevant.

A linear score, fitted on train clicks and labels, and a monotone map from score to probability:

    score(q, f) = b + o(q, f) + w1 q.i + w2 q.t + w3 i.t
                  + sum over the values v that q requests of s(f, v)

o(q, f) is the query's offset without the fold of the title (query_offsets.py). s(f, v) is positive
where the product confirms v and negative where it contradicts v; where title and picture are silent
it is the log odds by the title model of v. All of it is one inner product,
[offsets, q, 1, requested] . [fold, w1 i + w2 t, w3 i.t + b, s], so the threshold join stays exact.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from genfilt.common.arrays import Floats, Vectors
from genfilt.common.errors import UserError
from genfilt.filter.agreement.attribute_values import RequestedValue
from genfilt.filter.calibrated.coverage import Evidence
from genfilt.filter.calibrated.title_models import FOLDS

FORMAT = 2
ISOTONIC_ROUNDS = 30  # of expectation and isotonic regression


@dataclass(frozen=True)
class Weight:
    """The weights of one family of attributes, in logits.

    Attributes:
        requested: added where the query requests a value, whatever the product's texts contain.
        confirm: added where the title, where the picture confirms the value.
        contradict: added where the title, where the picture contradicts it; never above 0.
        clicks: factor of the product's own click log odds.
        title_model: factor of the title model's logit, where texts and clicks are silent.
        vetoes: whether the title's, the picture's contradiction rules a pair out where the other
            does not confirm.
    """

    requested: float = 0.0
    confirm: tuple[float, float] = (0.0, 0.0)
    contradict: tuple[float, float] = (0.0, 0.0)
    clicks: float = 0.0
    title_model: float = 0.0
    vetoes: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Calibration:
    """A fitted rule; everything that scoring needs beside vectors and agreement table.

    Attributes:
        made_for: embedder, generators, template and data that it was fitted with.
        linear: (4,) w1, w2, w3 and b.
        families: the weights of each family of attributes.
        title_models: (family, value) -> (FOLDS, D + 1) directions of the title models and offsets.
        scores, probabilities: (N,) knots of the monotone map, both ascending.
        base_rate: estimated share of relevant pairs among all train pairs.
        method: how the base rate was estimated.
        base_rate_range: the lowest and highest base rate that the log allows, None where the user
            gave it or nothing bounds it.
    """

    made_for: dict[str, str]
    linear: Floats
    families: dict[str, Weight]
    title_models: dict[RequestedValue, Vectors]
    scores: Floats
    probabilities: Floats
    base_rate: float
    method: str
    base_rate_range: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the fit as JSON has it, the same for equal fits."""
        return {
            "format": FORMAT,
            "made_for": self.made_for,
            "linear": self.linear.tolist(),
            "families": {name: asdict(weight) for name, weight in self.families.items()},
            "title_models": [
                [*key, _packed(row)] for key, row in sorted(self.title_models.items())
            ],
            "scores": self.scores.tolist(),
            "probabilities": self.probabilities.tolist(),
            "base_rate": self.base_rate,
            "method": self.method,
            "base_rate_range": self.base_rate_range,
        }

    def for_base_rate(self, base_rate: float) -> Calibration:
        """Return the rule with the base rate of other pairs, its range scaled alike."""
        scale = base_rate / max(self.base_rate, 1e-12)
        low, high = self.base_rate_range or (0.0, 0.0)
        rates = None if self.base_rate_range is None else (low * scale, min(high * scale, 1.0))
        return replace(self, base_rate=base_rate, base_rate_range=rates)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Calibration:
        """Rebuild a fit from `as_dict`.

        Raises:
            UserError: it is not a calibration of this version.
        """
        try:
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            return cls(
                made_for=found["made_for"],
                linear=np.array(found["linear"], dtype=np.float64),
                families={name: _weight(**row) for name, row in found["families"].items()},
                title_models={
                    (family, value): _unpacked(row) for family, value, row in found["title_models"]
                },
                scores=np.array(found["scores"], dtype=np.float64),
                probabilities=np.array(found["probabilities"], dtype=np.float64),
                base_rate=float(found["base_rate"]),
                method=found["method"],
                base_rate_range=_range(found.get("base_rate_range")),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The stored calibration cannot be read ({error}); fit it again with "
                "genfilt filter --rule calibrated."
            ) from error


def fit_isotonic(
    score: Floats, weight: Floats, evidence: Evidence, relevant: Floats
) -> tuple[Floats, Floats, Floats]:
    """Fit the map from score to probability by isotonic regression on expected relevance.

    Expectation and regression alternate. Returns the knots' scores and levels and the expected
    relevance of each pair.
    """
    from sklearn.isotonic import IsotonicRegression

    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    for _ in range(ISOTONIC_ROUNDS):
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


def probability(calibration: Calibration, scores: Floats) -> Floats:
    """Return the estimated probability of relevance for linear scores of any shape."""
    return np.interp(scores, calibration.scores, calibration.probabilities)


def score_threshold(calibration: Calibration, sigma: float) -> float:
    """Return the linear score from which on the probability is at least sigma.

    Infinity where no pair can reach it.
    """
    scores, levels = calibration.scores, calibration.probabilities
    if sigma > levels[-1]:
        return float("inf")
    at = int(np.searchsorted(levels, sigma))  # the first knot that reaches sigma
    if at == 0:
        return float("-inf")
    share = (sigma - levels[at - 1]) / (levels[at] - levels[at - 1])
    return float(scores[at - 1] + share * (scores[at] - scores[at - 1]))


def _weight(
    confirm: list[float], contradict: list[float], vetoes: list[bool], **rest: float
) -> Weight:
    pairs = (confirm[0], confirm[1]), (contradict[0], contradict[1]), (vetoes[0], vetoes[1])
    return Weight(confirm=pairs[0], contradict=pairs[1], vetoes=pairs[2], **rest)


def _range(found: Sequence[float] | None) -> tuple[float, float] | None:
    return None if found is None else (float(found[0]), float(found[1]))


def unknown_probability(probability: Floats, unseen: Floats) -> Floats:
    """Return the probability that a pair without click and label is relevant, of any shape.

    Args:
        probability: that a pair with such a score is relevant, known or not.
        unseen: share of the query's relevant pairs with neither click nor label.
    """
    left = unseen * probability
    return np.asarray(left / np.maximum(left + 1 - probability, 1e-300))


def _packed(row: Vectors) -> str:
    return base64.b64encode(np.ascontiguousarray(row, dtype="<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> Vectors:
    flat = np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
    return flat.reshape(FOLDS, -1)
