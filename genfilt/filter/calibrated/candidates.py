"""The calibrated rule on a database's scene: fit it, score pairs, find and explain candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.filter.calibrated.agreement_table import contains
from genfilt.filter.calibrated.attribute_values import FAMILIES, SOURCES, Asked
from genfilt.filter.calibrated.calibration_data import CalibrationData
from genfilt.filter.calibrated.fit import Fit, Marks, Training, fit_calibration
from genfilt.filter.calibrated.model import Calibration, probability, score_threshold
from genfilt.filter.calibrated.sampling import sample_pairs
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.filter.calibrated.title_models import Floats, Rows, history
from genfilt.filter.calibrated.value_matching import NAMES, explain
from genfilt.join.threshold_join import threshold_join

TOLERANCE = 1e-6
LOWEST = -1e6  # a linear score below all others
TELLING = 0.7  # logits from which what the log tells is a reason: twice the odds
PAIRS_AT_A_TIME = 65_536
KEPT_REASONS = 1 << 20  # for queries that ask for the same


def fit_rule(
    scene: CalibrationData, *, base_rate: float | None = None, attributes: bool = True
) -> Fit:
    """Fit the calibrated rule on the train log of a scene.

    Raises:
        UserError: there are no train products, or too few pairs are known to be relevant.
    """
    if not len(scene.train):
        raise UserError(
            "No train product has a caption to calibrate with; run genfilt status to see why."
        )
    pairs = sample_pairs(scene.queries, scene.products, scene.log, scene.train)
    training = Training(
        scene.queries, scene.products, scene.values, pairs, scene.log, scene.made_for, base_rate
    )
    return fit_calibration(training, attributes=attributes)


@dataclass
class Scorer:
    """A fit applied to its scene.

    A train pair that nobody clicked or labelled, though most of what is relevant to its query is
    known, is less likely to be relevant than it looks; `unseen` says by how much.
    """

    calibration: Calibration
    scene: CalibrationData
    unseen: Floats  # (Q,) Fit.unseen
    _reasons: dict[tuple[tuple[Asked, ...], int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scene, values = self.scene, self.scene.values
        self._values = ValueScores(self.calibration, scene.products, values)
        self.left = self._values.left(scene.queries)
        self.right = self._values.right()
        self._logged = np.sort(self._number(scene.log.q, scene.log.f))
        self._train = np.zeros(len(scene.facts), dtype=bool)
        self._train[scene.train] = True
        self._vetoing = frozenset(
            (family, source)
            for family in FAMILIES
            if family in self.calibration.families
            for source, vetoes in zip(
                SOURCES, self.calibration.families[family].vetoes, strict=True
            )
            if vetoes
        )

    def scores(self, q: Rows, f: Rows) -> tuple[Floats, Marks]:
        """Return the probability of pairs of rows, and which of them are vetoed, (K,) each."""
        linear = np.empty(len(q))
        for start in range(0, len(q), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            linear[part] = np.einsum(
                "kd,kd->k", self.left[q[part]], self.right[f[part]], dtype=np.float64
            )
        return self._settle(q, f, linear)

    def candidates(self, floor: float) -> Iterator[tuple[Rows, Rows, Floats, Marks]]:
        """Yield (query row, product row, probability, vetoed) of all pairs from `floor` on."""
        threshold = max(score_threshold(self.calibration, floor), LOWEST)
        if not np.isfinite(threshold):
            return
        for q, f, linear in threshold_join(self.left, self.right, threshold):
            score, ruled_out = self._settle(q, f, linear)
            keep = score >= floor - TOLERANCE
            yield q[keep], f[keep], score[keep], ruled_out[keep]

    def tables(self, floor: float) -> Iterator[pa.Table]:
        """Yield all candidates from `floor` on, as `table` returns them."""
        for found in self.candidates(floor):
            for start in range(0, len(found[0]), PAIRS_AT_A_TIME):
                part = slice(start, start + PAIRS_AT_A_TIME)
                q, f, score, ruled_out = found
                yield self.table(q[part], f[part], score[part], ruled_out[part])

    def reasons(self, q: Rows, f: Rows) -> list[str]:
        """Return why, in words, for each pair of rows."""
        wanted, rows = self.scene.queries.asked[q], f[:, None]
        told = self._values.told(rows, wanted)
        if len(self._reasons) > KEPT_REASONS:
            self._reasons.clear()
        own = history(*self.scene.products.counts.at(rows, wanted)) != 0
        pairs = zip(q.tolist(), f.tolist(), strict=True)
        return [self._reason(*pair, told[at], own[at]) for at, pair in enumerate(pairs)]

    def table(self, q: Rows, f: Rows, score: Floats, ruled_out: Marks) -> pa.Table:
        """Return candidates as rows of qp_candidates, without the filter's number."""
        scene = self.scene
        vectors = scene.queries.vectors
        q_i, q_t = (
            np.einsum("kd,kd->k", vectors[q], side[f], dtype=np.float64)
            for side in (scene.products.image, scene.products.title)
        )
        return pa.table(
            {
                "q": scene.corpus.queries.numbers[q].astype(np.int32),
                "f": scene.corpus.features.f[f].astype(np.int32),
                "q_i": q_i,
                "q_t": q_t,
                "cosine": (q_i + q_t) / 2,
                "score": score,
                "vetoed": ruled_out,
                "reasons": self.reasons(q, f),
            }
        )

    def _settle(self, q: Rows, f: Rows, linear: Floats) -> tuple[Floats, Marks]:
        queries = self.scene.queries
        excess = self._values.overshoot(queries, self.right, q, f)
        score = probability(self.calibration, linear - excess)
        exposed = self._train[f] & ~contains(self._logged, self._number(q, f))
        left = np.where(exposed, self.unseen[q], 1.0) * score
        return left / np.maximum(left + 1 - score, 1e-300), self._values.vetoed(queries, q, f)

    def _number(self, q: Rows, f: Rows) -> Rows:
        return q * len(self.scene.facts) + f

    def _reason(self, q: int, f: int, told: Floats, own: Marks) -> str:
        """Put into words what texts and log say; `told` and `own` are by the values asked for."""
        asked, product = self.scene.asked[q], self.scene.facts[f]
        key = (asked, f)
        if key not in self._reasons:
            reasons = [explain(self.scene.judge, asked, product, self._vetoing)[1]]
            for (family, value), worth, its in zip(asked, told, own, strict=False):
                if abs(worth) >= TELLING:
                    how = "by" if worth > 0 else "unlike"
                    whose = "its clicks" if its else "clicks on such titles"
                    reasons.append(f"{NAMES.get(family, family)}: {value}, {how} {whose}")
            self._reasons[key] = "; ".join(filter(None, reasons))
        return self._reasons[key]
