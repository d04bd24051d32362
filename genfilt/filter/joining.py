"""Threshold joins of the rows that a filter has not joined yet, and the cosines of their pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.features.corpus import Corpus
from genfilt.join.threshold_join import threshold_join

PAIRS_AT_A_TIME = 65_536  # bounds the vectors gathered to score survivors


@dataclass(frozen=True)
class Watermark:
    """The largest q and f that a filter has joined."""

    filter_id: int
    q: int
    f: int


def join_rows(
    left: Vectors, of_left: Bools, right: Vectors, of_right: Bools, threshold: float
) -> Iterator[tuple[Rows, Rows, Floats]]:
    """Join the chosen rows of both sides; yield rows of the whole matrices and their scores."""
    left_rows, right_rows = np.flatnonzero(of_left), np.flatnonzero(of_right)
    if not len(left_rows) or not len(right_rows):
        return
    for a, b, score in threshold_join(left[left_rows], right[right_rows], threshold):
        yield left_rows[a], right_rows[b], score


def inner_products(left: Vectors, a: Rows, right: Vectors, b: Rows) -> Floats:
    """Return left[a] . right[b] of each pair in float64, (K,)."""
    scores = np.empty(len(a), dtype=np.float64)
    for start in range(0, len(a), PAIRS_AT_A_TIME):
        part = slice(start, start + PAIRS_AT_A_TIME)
        scores[part] = np.einsum("nd,nd->n", left[a[part]], right[b[part]], dtype=np.float64)
    return scores


def query_cosines(corpus: Corpus, query: Rows, feature: Rows) -> tuple[Floats, Floats]:
    """Return q.i, NaN without a caption, and q.t of pairs of rows, (K,) each."""
    features = corpus.features
    q_t = inner_products(corpus.q, query, corpus.t, corpus.title_rows(features)[feature])
    q_i = np.full(len(query), np.nan)
    pictured = features.pictured[feature]
    images = corpus.image_rows(features)[feature[pictured]]
    q_i[pictured] = inner_products(corpus.q, query[pictured], corpus.i, images)
    return q_i, q_t


def candidate_table(
    corpus: Corpus, query: Rows, feature: Rows, score: Floats, vetoed: Bools, reasons: list[str]
) -> pa.Table:
    """Return pairs of rows as rows of qp_candidates, without the filter's number.

    The cosine is the mean of q.i and q.t, or q.t for a product without a caption.
    """
    q_i, q_t = query_cosines(corpus, query, feature)
    cosine = np.where(np.isnan(q_i), q_t, (q_i + q_t) / 2)
    return pa.table(
        {
            "q": corpus.queries.numbers[query].astype(np.int32),
            "f": corpus.features.f[feature].astype(np.int32),
            "q_i": pa.array(q_i, from_pandas=True),
            "q_t": q_t,
            "cosine": cosine,
            "score": score,
            "vetoed": vetoed,
            "reasons": pa.array([reason or None for reason in reasons], pa.string()),
        }
    )


def title_candidates(corpus: Corpus, sigma: float, since: Watermark) -> Iterator[pa.Table]:
    """Yield the (f_image, f_title) whose i.t reaches sigma, as rows of it_candidates."""
    new_i, new_t = corpus.images.numbers > since.f, corpus.titles.numbers > since.f
    for left, right in ((new_i, np.ones_like(new_t)), (~new_i, new_t)):
        for image, title, score in join_rows(corpus.i, left, corpus.t, right, sigma):
            yield pa.table(
                {
                    "f_image": corpus.images.numbers[image].astype(np.int32),
                    "f_title": corpus.titles.numbers[title].astype(np.int32),
                    "i_t": score,
                    "score": score,
                }
            )
