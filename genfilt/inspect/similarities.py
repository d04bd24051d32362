"""Histograms of the three similarities, among any pairs and among known ones."""

from __future__ import annotations

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.features.corpus import Corpus
from genfilt.features.vector_file import VectorSource, gather
from genfilt.inspect.charts import Histogram, histogram
from genfilt.store.store import Store

SAMPLED = 20_000  # pairs that a histogram is drawn from
KNOWN_PAIRS = """
SELECT q, f FROM verdicts JOIN product_no USING (p)
WHERE positive AND split = 'train' AND f IS NOT NULL
GROUP BY q, f ORDER BY hash(q, f) LIMIT ?
"""


def similarity_histograms(store: Store, corpus: Corpus, sigma: float | None) -> list[Histogram]:
    """Return the histograms that have pairs: query with picture, with title, picture with title.

    Args:
        store: the train verdicts, which are the known pairs of queries and products.
        corpus: the texts and their vectors.
        sigma: marked in each, None where it is no similarity.
    """
    if not len(corpus.queries.texts):
        return []
    rng = np.random.default_rng(0)
    features = corpus.features
    every = np.arange(len(features.f))
    pictured = np.flatnonzero(features.pictured)
    titles, images = corpus.title_rows(features), corpus.image_rows(features)
    some_q = rng.integers(len(corpus.queries.texts), size=SAMPLED)
    known_q, known_f = _known_pairs(store, corpus)
    has_image = features.pictured[known_f]
    found = []
    if len(pictured):
        some_f = pictured[rng.integers(len(pictured), size=SAMPLED)]
        any_pair = _cosines(corpus.q, some_q, corpus.i, images[some_f])
        known = _cosines(corpus.q, known_q[has_image], corpus.i, images[known_f[has_image]])
        found.append(histogram("Query and picture", any_pair, known, sigma))
    if len(every):
        some_f = every[rng.integers(len(every), size=SAMPLED)]
        any_pair = _cosines(corpus.q, some_q, corpus.t, titles[some_f])
        known = _cosines(corpus.q, known_q, corpus.t, titles[known_f])
        found.append(histogram("Query and title", any_pair, known, sigma))
    if len(pictured):
        own = pictured[:SAMPLED]
        some_i = pictured[rng.integers(len(pictured), size=SAMPLED)]
        some_t = every[rng.integers(len(every), size=SAMPLED)]
        any_pair = _cosines(corpus.i, images[some_i], corpus.t, titles[some_t])
        known = _cosines(corpus.i, images[own], corpus.t, titles[own])
        found.append(histogram("Picture and title", any_pair, known, sigma))
    return found


def _known_pairs(store: Store, corpus: Corpus) -> tuple[Rows, Rows]:
    """Return rows of the queries and of the features, (K,) each, of known relevant pairs."""
    features = corpus.features.f
    pairs = np.array(store.rows(KNOWN_PAIRS, [SAMPLED]), dtype=np.int64).reshape(-1, 2)
    pairs = pairs[np.isin(pairs[:, 0], corpus.queries.numbers) & np.isin(pairs[:, 1], features)]
    return corpus.queries.rows_of(pairs[:, 0]), np.searchsorted(features, pairs[:, 1])


def _cosines(left: VectorSource, a: Rows, right: VectorSource, b: Rows) -> Floats:
    """Return the inner products of rows a of left and b of right, (K,)."""
    return np.asarray(np.einsum("nd,nd->n", gather(left, a), gather(right, b)), dtype=np.float64)
