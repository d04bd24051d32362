"""The paper's rule: the mean of q.i and q.t (arXiv 2311.14742, section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.common.errors import UserError
from genfilt.features.corpus import Corpus
from genfilt.filter.audit import TITLE_ALONE, Audit, audit_judged_pairs
from genfilt.filter.join_work import JoinWork, passing_work
from genfilt.filter.joining import (
    ROWS_AT_A_TIME,
    Watermark,
    candidate_table,
    query_cosines,
    side_of,
    title_candidates,
)
from genfilt.join.pairs import TOLERANCE
from genfilt.store.store import Store

# Cosines below sigma that a review draws from; the second where no pair lies within the first.
# By all-MiniLM-L6-v2 35 to 43 % of the relevant pairs of Luma and of two generated shops lie
# within 0.3 below 0.9, 75 to 84 % within 0.5, and less than 1 % above.
SAMPLING_DEPTHS = (0.3, 0.5)


class PaperRule:
    """Scores a pair by (q.i + q.t) / 2; a product without a caption, which the paper lacks, by q.t.

    Args:
        store: the labels and reviews of `audit`.
        corpus: the texts and their vectors.
    """

    name = "paper"
    incremental = True
    record = None

    def __init__(self, store: Store, corpus: Corpus) -> None:
        self.store, self.corpus = store, corpus

    def sigma_for(self, precision: float) -> float:
        """Return the sigma with the largest recall at this precision on the train labels.

        Raises:
            UserError: no sigma reaches the precision.
        """
        best = self.audit("train", precision).best
        if best.sigma is None:
            raise UserError(
                f"No sigma of the paper's rule reaches a precision of {precision} on the train "
                f"labels; give --sigma yourself, or --rule calibrated."
            )
        return best.sigma

    def query_candidates(
        self, floor: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the (q, f) whose score reaches the floor.

        With m = (i + t) / 2 the mean is the one inner product q.m.
        """
        numbers, f = self.corpus.queries.numbers, self.corpus.features.f
        possible = self._can_reach(floor)
        new_q, new_f = numbers > since.q, f > since.f
        for of_q, of_f in ((new_q, possible), (~new_q, possible & new_f)):
            yield from self._joined(np.flatnonzero(of_q), np.flatnonzero(of_f), floor, work)

    def _joined(
        self, queries: Rows, products: Rows, floor: float, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the pairs of rows of queries and features whose score reaches the floor."""
        if not len(queries) or not len(products):
            return
        width = self.corpus.width
        left = side_of(work, "queries", queries, width, lambda rows: self.corpus.q[rows])
        right = side_of(work, "products", products, width, self._fused)
        for a, b, score in work.pairs("join queries and products", left, right, floor):
            yield from self._tables(queries[a], products[b], score)

    def _tables(self, query: Rows, feature: Rows, score: Floats) -> Iterator[pa.Table]:
        alone = ~self.corpus.features.pictured[feature]
        reasons = [TITLE_ALONE if each else "" for each in alone.tolist()]
        nothing = np.zeros(len(score), dtype=bool)
        yield candidate_table(self.corpus, query, feature, score, nothing, reasons)

    def _fused(self, rows: Rows) -> Vectors:
        """Return the fused vectors of rows of the features, t without a caption, (K, D)."""
        fused = self.corpus.titles_of(rows).copy()
        pictured = self.corpus.features.pictured[rows]
        fused[pictured] += self.corpus.images_of(rows[pictured])
        fused[pictured] *= np.float32(0.5)
        return fused

    def _can_reach(self, floor: float) -> Bools:
        """Return which products can reach a floor > 0: |m|^2 = (1 + i.t) / 2 bounds q.m, (F,)."""
        pictured = self.corpus.features.pictured
        possible = np.ones(len(pictured), dtype=bool)
        if floor <= 0:
            return possible
        chosen = np.flatnonzero(pictured)
        for start in range(0, len(chosen), ROWS_AT_A_TIME):
            rows = chosen[start : start + ROWS_AT_A_TIME]
            fused = self._fused(rows)
            i_t = 2 * np.einsum("nd,nd->n", fused, fused, dtype=np.float64) - 1
            possible[rows] = i_t >= 2 * floor**2 - 1 - TOLERANCE
        return possible

    def expected_candidates(self, floor: float) -> int | None:
        """Return None: the join estimates by a sample of both sides."""
        return None

    def scored_pairs(
        self, queries: Rows, texts: Rows, floor: float
    ) -> Iterator[tuple[Rows, Rows, Floats]]:
        """Yield q, f and score of all pairs of some queries and texts from the floor on."""
        corpus = self.corpus
        rows = np.flatnonzero(np.isin(corpus.queries.numbers, queries))
        products = np.flatnonzero(np.isin(corpus.features.f, texts) & self._can_reach(floor))
        with passing_work() as work:
            for table in self._joined(rows, products, floor, work):
                q, f, score = (table[name].to_numpy() for name in ("q", "f", "score"))
                yield q, f, score

    def sampling_floors(self, sigma: float) -> tuple[float, ...]:
        """Return sigma less each of the depths that a review looks into."""
        return tuple(sigma - depth for depth in SAMPLING_DEPTHS)

    def title_candidates(
        self, sigma: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the (f_image, f_title) whose i.t reaches sigma."""
        return title_candidates(self.corpus, sigma, since, work)

    def scores(self, q: Rows, f: Rows) -> Floats:
        """Return the score of pairs of numbers, -inf where either has no text, (K,)."""
        corpus = self.corpus
        scores = np.full(len(q), -np.inf)
        known = np.isin(q, corpus.queries.numbers) & np.isin(f, corpus.features.f)
        query = corpus.queries.rows_of(q[known])
        q_i, q_t = query_cosines(corpus, query, np.searchsorted(corpus.features.f, f[known]))
        scores[known] = np.where(np.isnan(q_i), q_t, (q_i + q_t) / 2)
        return scores

    def audit(self, split: str, target_precision: float, base_rate: float | None = None) -> Audit:
        """Measure precision and recall over sigma by the labels and reviews of a split."""
        return audit_judged_pairs(self.store, self, split, target_precision, base_rate)
