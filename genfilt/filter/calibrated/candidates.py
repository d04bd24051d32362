"""A calibration applied to the products of a database: scores of pairs, candidates and reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.filter.agreement.agreement_table import contains
from genfilt.filter.agreement.attribute_values import FAMILIES, SOURCES, RequestedValue
from genfilt.filter.agreement.value_matching import FAMILY_NAMES, explain
from genfilt.filter.audit import TITLE_ALONE
from genfilt.filter.calibrated.calibration_data import CalibrationData
from genfilt.filter.calibrated.click_counts import click_log_odds
from genfilt.filter.calibrated.model import (
    Calibration,
    probability,
    score_threshold,
    unknown_probability,
)
from genfilt.filter.calibrated.query_offsets import fold_columns
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.filter.joining import candidate_table
from genfilt.filter.precision_curve import TOLERANCE
from genfilt.join.threshold_join import threshold_join

MIN_LINEAR_SCORE = -1e6  # below all linear scores, and finite for the join
MIN_REASON_LOGIT = 0.7  # twice the odds: from there on clicks are given as a reason
PAIRS_AT_A_TIME = 65_536
MAX_CACHED_REASONS = 1 << 20  # queries that request the same values share them


@dataclass
class Scorer:
    """Applies a calibration to all queries and some products.

    A train pair without click and label is less likely to be relevant than its score says where
    most relevant pairs of its query are known: `unseen` is the share that is not.

    Args:
        calibration: the fitted rule.
        data: the database's arrays; without pictures for a calibration of titles alone.
        unseen: (Q,) share of each query's relevant pairs with neither click nor label.
        offsets: (Q, FOLDS) of the score of each query for titles of each fold.
        rows: (N,) the products, ascending.
    """

    calibration: Calibration
    data: CalibrationData
    unseen: Floats
    offsets: Floats
    rows: Rows
    _reasons: dict[tuple[tuple[RequestedValue, ...], int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        data = self.data
        self._values = ValueScores(self.calibration, data.products, data.values)
        # Before the values' coordinates, which `overshoot` takes to be the last ones.
        left, right = self._values.left(data.queries), self._values.right()
        folds = fold_columns(data.products.fold)
        self.left = np.hstack([self.offsets, left]).astype(np.float32)
        self.right = np.hstack([folds, right]).astype(np.float32)
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
        return self._probabilities(q, f, linear)

    def candidates(self, floor: float) -> Iterator[tuple[Rows, Rows, Floats, Bools]]:
        """Yield (query row, product row, probability, vetoed) of all pairs from `floor` on."""
        threshold = max(score_threshold(self.calibration, floor), MIN_LINEAR_SCORE)
        if not np.isfinite(threshold) or not len(self.rows):
            return
        whole = len(self.rows) == len(self.right)
        right = self.right if whole else self.right[self.rows]
        for q, found, linear in threshold_join(self.left, right, threshold):
            f = self.rows[found]
            score, vetoed = self._probabilities(q, f, linear)
            keep = score >= floor - TOLERANCE
            yield q[keep], f[keep], score[keep], vetoed[keep]

    def tables(self, floor: float) -> Iterator[pa.Table]:
        """Yield all candidates from `floor` on, as rows of qp_candidates."""
        for found in self.candidates(floor):
            for start in range(0, len(found[0]), PAIRS_AT_A_TIME):
                part = slice(start, start + PAIRS_AT_A_TIME)
                q, f, score, vetoed = found[0][part], found[1][part], found[2][part], found[3][part]
                reasons = self.reasons(q, f)
                yield candidate_table(self.data.corpus, q, f, score, vetoed, reasons)

    def reasons(self, q: Rows, f: Rows) -> list[str]:
        """Return the reasons of each pair of rows, in words."""
        wanted, rows = self.data.queries.requested[q], f[:, None]
        logits = self._values.from_clicks(rows, wanted)
        if len(self._reasons) > MAX_CACHED_REASONS:
            self._reasons.clear()
        own = click_log_odds(*self.data.products.counts.at(rows, wanted)) != 0
        pairs = zip(q.tolist(), f.tolist(), strict=True)
        return [self._reason(*pair, logits[at], own[at]) for at, pair in enumerate(pairs)]

    def _probabilities(self, q: Rows, f: Rows, linear: Floats) -> tuple[Floats, Bools]:
        queries = self.data.queries
        excess = self._values.overshoot(queries, self.right, q, f)
        score = probability(self.calibration, linear - excess)
        exposed = self._train[f] & ~contains(self._logged, self._number(q, f))
        score = unknown_probability(score, np.where(exposed, self.unseen[q], 1.0))
        return score, self._values.vetoed(queries, q, f)

    def _number(self, q: Rows, f: Rows) -> Rows:
        return q * len(self.data.product_values) + f

    def _reason(self, q: int, f: int, logits: Floats, own: Bools) -> str:
        """Return the reasons by texts and clicks; `logits` and `own` are by requested value."""
        requested, product = self.data.requested[q], self.data.product_values[f]
        key = (requested, f)
        if key not in self._reasons:
            alone = not self.data.corpus.features.pictured[f]
            reasons = [TITLE_ALONE] if alone else []
            reasons.append(explain(self.data.matcher, requested, product, self._vetoing)[1])
            for (family, value), logit, its in zip(requested, logits, own, strict=False):
                if abs(logit) >= MIN_REASON_LOGIT:
                    how = "by" if logit > 0 else "unlike"
                    whose = "its clicks" if its else "clicks on such titles"
                    reasons.append(f"{FAMILY_NAMES.get(family, family)}: {value}, {how} {whose}")
            self._reasons[key] = "; ".join(filter(None, reasons))
        return self._reasons[key]
