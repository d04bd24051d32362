"""Threshold joins of the rows that a filter has not joined yet, and the cosines of their pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.features.corpus import Corpus
from genfilt.features.vector_file import VectorFile, VectorSource, gather
from genfilt.filter.join_work import JoinWork

PAIRS_AT_A_TIME = 8192  # bounds the vectors gathered to score survivors
ROWS_AT_A_TIME = 16_384  # of a side that is written to a file


@dataclass(frozen=True)
class Watermark:
    """The largest q and f that a filter has joined."""

    filter_id: int
    q: int
    f: int


def side_of(
    work: JoinWork, name: str, rows: Rows, width: int, vectors_of: Callable[[Rows], Vectors]
) -> VectorFile:
    """Write the vectors of some rows as one side of a join; `vectors_of` is asked in parts."""
    parts = (
        vectors_of(rows[start : start + ROWS_AT_A_TIME])
        for start in range(0, len(rows), ROWS_AT_A_TIME)
    )
    return work.side(name, (len(rows), width), parts)


def inner_products(left: VectorSource, a: Rows, right: VectorSource, b: Rows) -> Floats:
    """Return left[a] . right[b] of each pair in float64, (K,).

    They are summed in the join's fixed order, so that a pair's cosine is the same in any batch.
    """
    import torch

    from genfilt.join.torch_join import exact_scores

    scores = np.empty(len(a), dtype=np.float64)
    for start in range(0, len(a), PAIRS_AT_A_TIME):
        part = slice(start, start + PAIRS_AT_A_TIME)
        sides = (
            torch.from_numpy(np.ascontiguousarray(gather(vectors, rows[part])))
            for vectors, rows in ((left, a), (right, b))
        )
        scores[part] = exact_scores(*sides).numpy()
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


def title_candidates(
    corpus: Corpus, sigma: float, since: Watermark, work: JoinWork
) -> Iterator[pa.Table]:
    """Yield the (f_image, f_title) whose i.t reaches sigma, as rows of it_candidates."""
    new_i, new_t = corpus.images.numbers > since.f, corpus.titles.numbers > since.f
    width = corpus.width
    for of_i, of_t in ((new_i, np.ones_like(new_t)), (~new_i, new_t)):
        image_rows, title_rows = np.flatnonzero(of_i), np.flatnonzero(of_t)
        if not len(image_rows) or not len(title_rows):
            continue
        left = side_of(work, "images", image_rows, width, lambda rows: gather(corpus.i, rows))
        right = side_of(work, "titles", title_rows, width, lambda rows: gather(corpus.t, rows))
        for image, title, score in work.pairs("join pictures and titles", left, right, sigma):
            yield pa.table(
                {
                    "f_image": corpus.images.numbers[image_rows[image]].astype(np.int32),
                    "f_title": corpus.titles.numbers[title_rows[title]].astype(np.int32),
                    "i_t": score,
                    "score": score,
                }
            )
