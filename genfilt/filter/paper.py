"""The paper's rule: the mean of q.i and q.t (arXiv 2311.14742, section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.common.errors import UserError
from genfilt.features.corpus import Corpus
from genfilt.filter.audit import TITLE_ALONE, Audit, audit_judged_pairs
from genfilt.filter.joining import (
    Watermark,
    candidate_table,
    join_rows,
    query_cosines,
    title_candidates,
)
from genfilt.store.store import Store

# Of cosines below sigma; the second is drawn from where no pair is nearer than the first.
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

    def query_candidates(self, floor: float, since: Watermark) -> Iterator[pa.Table]:
        """Yield the (q, f) whose score reaches the floor.

        With m = (i + t) / 2 the mean is the one inner product q.m.
        """
        corpus = self.corpus
        features = corpus.features
        titles = corpus.t[corpus.title_rows(features)]
        pictured = np.flatnonzero(features.pictured)
        fused = titles.copy()  # (F, D)
        fused[pictured] += corpus.i[corpus.image_rows(features)[pictured]]
        fused[pictured] *= np.float32(0.5)
        possible = _can_reach(fused, features.pictured, floor)
        new_q, new_f = corpus.queries.numbers > since.q, features.f > since.f
        for left, right in ((new_q, possible), (~new_q, possible & new_f)):
            for query, feature, score in join_rows(corpus.q, left, fused, right, floor):
                alone = ~features.pictured[feature]
                reasons = [TITLE_ALONE if each else "" for each in alone.tolist()]
                nothing = np.zeros(len(score), dtype=bool)
                yield candidate_table(corpus, query, feature, score, nothing, reasons)

    def scored_pairs(self, floor: float) -> Iterator[tuple[Rows, Rows, Floats]]:
        """Yield q, f and score of all pairs from the floor on."""
        for table in self.query_candidates(floor, Watermark(0, -1, -1)):
            q, f, score = (table[name].to_numpy() for name in ("q", "f", "score"))
            yield q, f, score

    def sampling_floors(self, sigma: float) -> tuple[float, ...]:
        """Return sigma less each of the depths that a review looks into."""
        return tuple(sigma - depth for depth in SAMPLING_DEPTHS)

    def title_candidates(self, sigma: float, since: Watermark) -> Iterator[pa.Table]:
        """Yield the (f_image, f_title) whose i.t reaches sigma."""
        return title_candidates(self.corpus, sigma, since)

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


def _can_reach(fused: Vectors, pictured: Bools, floor: float) -> Bools:
    """Return which products can reach a floor > 0: |m|^2 = (1 + i.t) / 2 bounds q.m, (F,)."""
    if floor <= 0:
        return np.ones(len(fused), dtype=bool)
    i_t = 2 * np.einsum("nd,nd->n", fused, fused, dtype=np.float64) - 1
    return np.asarray(~pictured | (i_t >= 2 * floor**2 - 1 - 1e-6))
