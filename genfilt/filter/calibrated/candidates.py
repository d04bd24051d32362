"""The calibrated rule applied to a database: fit, scores of pairs, candidates and their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.common.errors import UserError
from genfilt.filter.agreement.agreement_table import contains
from genfilt.filter.agreement.attribute_values import FAMILIES, SOURCES, RequestedValue
from genfilt.filter.agreement.value_matching import NAMES, explain
from genfilt.filter.calibrated.calibration_data import CalibrationData
from genfilt.filter.calibrated.click_counts import click_log_odds
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.calibrated.model import Calibration, probability, score_threshold
from genfilt.filter.calibrated.sampling import sample_pairs
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.join.threshold_join import threshold_join

TOLERANCE = 1e-6  # scores are decided to this, as the join decides them
MIN_LINEAR_SCORE = -1e6  # below all linear scores, and finite for the join
MIN_REASON_LOGIT = 0.7  # twice the odds: from there on clicks are given as a reason
PAIRS_AT_A_TIME = 65_536
MAX_CACHED_REASONS = 1 << 20  # queries that request the same values share them


def fit_rule(
    data: CalibrationData, *, base_rate: float | None = None, attributes: bool = True
) -> Fit:
    """Fit the calibrated rule on the train log.

    Raises:
        UserError: there are no train products, or too few pairs are known to be relevant.
    """
    if not len(data.train):
        raise UserError(
            "No train product has a caption to calibrate with; run genfilt status to see why."
        )
    pairs = sample_pairs(data.queries, data.products, data.log, data.train)
    training = Training(
        data.queries, data.products, data.values, pairs, data.log, data.made_for, base_rate
    )
    return fit_calibration(training, attributes=attributes)


@dataclass
class Scorer:
    """Applies a fit to queries and products.

    A train pair without click and label is less likely to be relevant than its score says where
    most relevant pairs of its query are known: `unseen` is the share that is not.
    """

    calibration: Calibration
    data: CalibrationData
    unseen: Floats  # (Q,) Fit.unseen
    _reasons: dict[tuple[tuple[RequestedValue, ...], int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        data, values = self.data, self.data.values
        self._values = ValueScores(self.calibration, data.products, values)
        self.left = self._values.left(data.queries)
        self.right = self._values.right()
        self._logged = np.sort(self._number(data.log.q, data.log.f))
        self._train = np.zeros(len(data.product_values), dtype=bool)
        self._train[data.train] = True
        self._vetoing = frozenset(
            (family, source)
            for family in FAMILIES
            if family in self.calibration.families
            for source, vetoes in zip(
                SOURCES, self.calibration.families[family].vetoes, strict=True
            )
            if vetoes
        )

    def scores(self, q: Rows, f: Rows) -> tuple[Floats, Bools]:
        """Return the probability of pairs of rows, and which of them are vetoed, (K,) each."""
        linear = np.empty(len(q))
        for start in range(0, len(q), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            linear[part] = np.einsum(
                "kd,kd->k", self.left[q[part]], self.right[f[part]], dtype=np.float64
            )
        return self._settle(q, f, linear)

    def candidates(self, floor: float) -> Iterator[tuple[Rows, Rows, Floats, Bools]]:
        """Yield (query row, product row, probability, vetoed) of all pairs from `floor` on."""
        threshold = max(score_threshold(self.calibration, floor), MIN_LINEAR_SCORE)
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
        """Return the reasons of each pair of rows, in words."""
        wanted, rows = self.data.queries.requested[q], f[:, None]
        logits = self._values.from_clicks(rows, wanted)
        if len(self._reasons) > MAX_CACHED_REASONS:
            self._reasons.clear()
        own = click_log_odds(*self.data.products.counts.at(rows, wanted)) != 0
        pairs = zip(q.tolist(), f.tolist(), strict=True)
        return [self._reason(*pair, logits[at], own[at]) for at, pair in enumerate(pairs)]

    def table(self, q: Rows, f: Rows, score: Floats, ruled_out: Bools) -> pa.Table:
        """Return candidates as rows of qp_candidates, without the filter's number."""
        data = self.data
        vectors = data.queries.vectors
        q_i, q_t = (
            np.einsum("kd,kd->k", vectors[q], side[f], dtype=np.float64)
            for side in (data.products.image, data.products.title)
        )
        return pa.table(
            {
                "q": data.corpus.queries.numbers[q].astype(np.int32),
                "f": data.corpus.features.f[f].astype(np.int32),
                "q_i": q_i,
                "q_t": q_t,
                "cosine": (q_i + q_t) / 2,
                "score": score,
                "vetoed": ruled_out,
                "reasons": self.reasons(q, f),
            }
        )

    def _settle(self, q: Rows, f: Rows, linear: Floats) -> tuple[Floats, Bools]:
        queries = self.data.queries
        excess = self._values.overshoot(queries, self.right, q, f)
        score = probability(self.calibration, linear - excess)
        exposed = self._train[f] & ~contains(self._logged, self._number(q, f))
        left = np.where(exposed, self.unseen[q], 1.0) * score
        return left / np.maximum(left + 1 - score, 1e-300), self._values.vetoed(queries, q, f)

    def _number(self, q: Rows, f: Rows) -> Rows:
        return q * len(self.data.product_values) + f

    def _reason(self, q: int, f: int, logits: Floats, own: Bools) -> str:
        """Return the reasons by texts and clicks; `logits` and `own` are by requested value."""
        requested, product = self.data.requested[q], self.data.product_values[f]
        key = (requested, f)
        if key not in self._reasons:
            reasons = [explain(self.data.matcher, requested, product, self._vetoing)[1]]
            for (family, value), logit, its in zip(requested, logits, own, strict=False):
                if abs(logit) >= MIN_REASON_LOGIT:
                    how = "by" if logit > 0 else "unlike"
                    whose = "its clicks" if its else "clicks on such titles"
                    reasons.append(f"{NAMES.get(family, family)}: {value}, {how} {whose}")
            self._reasons[key] = "; ".join(filter(None, reasons))
        return self._reasons[key]
