"""Calibrated scores: sigma as the probability that a pair is relevant.

One linear score, fitted on train clicks and labels, and one monotone map from score to probability:

    score(q, f) = b + w1 q.i + w2 q.t + w3 i.t + sum over the values v that q asks for of s(f, v)

s(f, v) is a raise where the product confirms v, a fine where it contradicts it, and where it is
silent what the log has taught: which titles get clicked for "women's". All of it is one inner
product, [q, 1, asked] . [w1 i + w2 t, w3 i.t + b, s], so the threshold join stays exact.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass

import numpy as np

from genfilt.common.errors import UserError
from genfilt.filter.calibrated.attribute_values import Asked
from genfilt.filter.calibrated.title_models import FOLDS, Floats, Matrix

FORMAT = 1


@dataclass(frozen=True)
class Weight:
    """What one family of attributes adds to the score.

    Attributes:
        named: where the query asks for it, whatever the product says.
        confirm: where the title, where the picture confirms it.
        contradict: where the title, where the picture contradicts it, never above 0.
        history: times what the log says of this very product.
        taught: times what the log says of such titles, where all else is silent.
        vetoes: whether the title's, the picture's contradiction rules a pair out where the other
            does not confirm.
    """

    named: float = 0.0
    confirm: tuple[float, float] = (0.0, 0.0)
    contradict: tuple[float, float] = (0.0, 0.0)
    history: float = 0.0
    taught: float = 0.0
    vetoes: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Calibration:
    """A fitted rule; everything that scoring needs beside the vectors and the verdicts.

    Attributes:
        made_for: embedder, generators, template and data that it was fitted with.
        linear: (4,) w1, w2, w3 and b.
        families: the weights of each family of attributes.
        taught: (family, value) -> (FOLDS, D + 1) directions in title space and their offsets.
        scores, probabilities: (N,) knots of the monotone map, both ascending.
        base_rate: estimated share of relevant pairs among all train pairs.
        method: what the base rate rests on.
    """

    made_for: dict[str, str]
    linear: Floats
    families: dict[str, Weight]
    taught: dict[Asked, Matrix]
    scores: Floats
    probabilities: Floats
    base_rate: float
    method: str

    def to_json(self) -> str:
        """Return the fit as text, the same for equal fits."""
        return json.dumps(
            {
                "format": FORMAT,
                "made_for": self.made_for,
                "linear": self.linear.tolist(),
                "families": {name: asdict(weight) for name, weight in self.families.items()},
                "taught": [[*key, _packed(row)] for key, row in sorted(self.taught.items())],
                "scores": self.scores.tolist(),
                "probabilities": self.probabilities.tolist(),
                "base_rate": self.base_rate,
                "method": self.method,
            },
            sort_keys=True,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Rebuild a fit from `to_json`.

        Raises:
            UserError: the text is no calibration of this version.
        """
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            return cls(
                made_for=found["made_for"],
                linear=np.array(found["linear"], dtype=np.float64),
                families={name: _weight(**row) for name, row in found["families"].items()},
                taught={(family, value): _unpacked(row) for family, value, row in found["taught"]},
                scores=np.array(found["scores"], dtype=np.float64),
                probabilities=np.array(found["probabilities"], dtype=np.float64),
                base_rate=float(found["base_rate"]),
                method=found["method"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The stored calibration cannot be read ({error}); fit it again with "
                "genfilt filter --rule calibrated."
            ) from error

    def check(self, made_for: dict[str, str]) -> None:
        """Refuse a fit made for another embedder, generator, template or other data.

        Raises:
            UserError: naming the first difference.
        """
        for name, value in made_for.items():
            if self.made_for.get(name) != value:
                raise UserError(
                    f"The calibration was fitted for {name} {self.made_for.get(name)}, not "
                    f"{value}; fit it again with genfilt filter --rule calibrated."
                )


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


def _packed(row: Matrix) -> str:
    return base64.b64encode(np.ascontiguousarray(row, dtype="<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> Matrix:
    flat = np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
    return flat.reshape(FOLDS, -1)
