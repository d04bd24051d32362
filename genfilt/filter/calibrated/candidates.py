"""A calibration applied to the products of a database: scores of pairs, candidates and reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.filter.agreement.agreement_table import contains
from genfilt.filter.agreement.attribute_values import FAMILIES, SOURCES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.agreement.value_matching import FAMILY_NAMES, explain
from genfilt.filter.audit import TITLE_ALONE
from genfilt.filter.calibrated.calibration_data import CalibrationData, Catalogue
from genfilt.filter.calibrated.click_counts import click_log_odds
from genfilt.filter.calibrated.model import (
    Calibration,
    probability,
    score_threshold,
    unknown_probability,
)
from genfilt.filter.calibrated.query_offsets import fold_columns
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.filter.join_work import JoinWork
from genfilt.filter.joining import candidate_table, inner_products, side_of
from genfilt.filter.precision_curve import TOLERANCE

MIN_LINEAR_SCORE = -1e6  # below all linear scores, and finite for the join
MIN_REASON_LOGIT = 0.7  # twice the odds: from there on clicks are given as a reason
PAIRS_AT_A_TIME = 65_536
PRODUCTS_AT_A_TIME = 16_384  # whose texts are in memory at once, at 20 kB each
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
        rows: (N,) row in the catalogue of each product of the data, ascending.
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
        folds = fold_columns(data.products.fold).astype(np.float32)
        self.right = np.hstack([folds, self._values.right()])
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

    @cached_property
    def left(self) -> Vectors:
        """The queries' side of the linear score, (Q, D + FOLDS + 1 + C)."""
        return self.left_of(np.arange(len(self.offsets)))

    def left_of(self, q: Rows) -> Vectors:
        """Return the queries' side of the linear score for some queries, (K, ...)."""
        queries = self.data.queries
        some = Queries(queries.vectors[q], queries.requested[q], queries.share[q])
        return np.hstack([self.offsets[q].astype(np.float32), self._values.left(some)])

    def scores(self, q: Rows, f: Rows) -> tuple[Floats, Bools]:
        """Return the probability of pairs of rows, and which of them are vetoed, (K,) each."""
        queries, place = np.unique(q, return_inverse=True)
        linear = inner_products(self.left_of(queries), place, self.right, f)
        return self.probabilities(q, f, linear)

    def reasons(self, q: Rows, f: Rows) -> list[str]:
        """Return the reasons of each pair of rows, in words."""
        wanted, rows = self.data.queries.requested[q], f[:, None]
        logits = self._values.from_clicks(rows, wanted)
        if len(self._reasons) > MAX_CACHED_REASONS:
            self._reasons.clear()
        own = click_log_odds(*self.data.products.counts.at(rows, wanted)) != 0
        pairs = zip(q.tolist(), f.tolist(), strict=True)
        return [self._reason(*pair, logits[at], own[at]) for at, pair in enumerate(pairs)]

    def probabilities(self, q: Rows, f: Rows, linear: Floats) -> tuple[Floats, Bools]:
        """Return the probability of pairs by their linear scores, and which are vetoed."""
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


class ScoredProducts:
    """Applies a calibration to products of a catalogue, some of them at a time.

    Args:
        catalogue: all products.
        calibration, unseen, offsets: as of `Scorer`.
        rows: (N,) the products, ascending.
        pictured: whether their pictures count.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        fit: tuple[Calibration, Floats, Floats],
        rows: Rows,
        pictured: bool,
    ) -> None:
        self.catalogue, self.fit, self.rows, self.pictured = catalogue, fit, rows, pictured
        self._last: Scorer | None = None

    def scorer(self, rows: Rows) -> Scorer:
        """Return the scorer of some products, by their rows in the catalogue."""
        if self._last is None or not np.array_equal(self._last.rows, rows):
            self._last = None  # before the next one is made: each holds much memory
            data = self.catalogue.part(rows)
            if not self.pictured:
                data = data.without_pictures()
            calibration, unseen, offsets = self.fit
            self._last = Scorer(calibration, data, unseen, offsets, rows)
        return self._last

    def scores(self, q: Rows, f: Rows) -> tuple[Floats, Bools]:
        """Return the probability of pairs of rows, and which of them are vetoed, (K,) each."""
        score, vetoed = np.zeros(len(q)), np.zeros(len(q), dtype=bool)
        wanted = np.unique(f)
        for start in range(0, len(wanted), PRODUCTS_AT_A_TIME):
            rows = wanted[start : start + PRODUCTS_AT_A_TIME]
            mine = np.flatnonzero((f >= rows[0]) & (f <= rows[-1]))
            place = np.searchsorted(rows, f[mine])
            score[mine], vetoed[mine] = self.scorer(rows).scores(q[mine], place)
        return score, vetoed

    def only(self, rows: Rows) -> ScoredProducts:
        """Return those of the products that are among some rows of the catalogue."""
        its = np.intersect1d(self.rows, rows, assume_unique=True)
        return ScoredProducts(self.catalogue, self.fit, its, self.pictured)

    def candidates(
        self, floor: float, work: JoinWork, queries: Rows | None = None
    ) -> Iterator[tuple[Scorer, Rows, Rows, Floats, Bools]]:
        """Yield all pairs from `floor` on, in batches of the products of one scorer.

        Args:
            floor: the lowest probability.
            work: computes the joins.
            queries: (M,) rows of the queries that are looked at, None for all.

        Yields:
            the scorer, row of the query, row among the scorer's products, probability, vetoed.
        """
        threshold = max(score_threshold(self.fit[0], floor), MIN_LINEAR_SCORE)
        if not np.isfinite(threshold) or not len(self.rows):
            return
        first = self.scorer(self.rows[:PRODUCTS_AT_A_TIME])
        width = first.right.shape[1]
        asked = np.arange(len(self.catalogue.requested)) if queries is None else queries
        left = side_of(work, "queries", asked, width, first.left_of)
        right = work.side("products", (len(self.rows), width), self._right_parts())
        name = "join queries and products"
        pairs = work.pairs(name, left, right, threshold, PRODUCTS_AT_A_TIME, bounded=False)
        for place, found, linear in pairs:
            start = int(found[0]) // PRODUCTS_AT_A_TIME * PRODUCTS_AT_A_TIME
            scorer = self.scorer(self.rows[start : start + PRODUCTS_AT_A_TIME])
            q, f = asked[place], found - start
            score, vetoed = scorer.probabilities(q, f, linear)
            keep = score >= floor - TOLERANCE
            yield scorer, q[keep], f[keep], score[keep], vetoed[keep]

    def tables(self, floor: float, work: JoinWork) -> Iterator[pa.Table]:
        """Yield all candidates from `floor` on, as rows of qp_candidates."""
        for scorer, q, f, score, vetoed in self.candidates(floor, work):
            for start in range(0, len(q), PAIRS_AT_A_TIME):
                part = slice(start, start + PAIRS_AT_A_TIME)
                reasons = scorer.reasons(q[part], f[part])
                pairs = q[part], f[part], score[part], vetoed[part]
                yield candidate_table(scorer.data.corpus, *pairs, reasons)

    def _right_parts(self) -> Iterator[Vectors]:
        for start in range(0, len(self.rows), PRODUCTS_AT_A_TIME):
            yield self.scorer(self.rows[start : start + PRODUCTS_AT_A_TIME]).right
