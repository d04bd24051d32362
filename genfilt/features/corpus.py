"""The distinct texts of a database with their vectors: the input of both rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Rows
from genfilt.features.embed import Embedder, Matrix, embed
from genfilt.features.texts import (
    Features,
    Texts,
    load_features,
    load_queries,
    load_texts,
)
from genfilt.store.store import Store


@dataclass(frozen=True)
class Corpus:
    """Distinct queries, titles and pictures, and the pairs of texts that products have."""

    queries: Texts
    titles: Texts
    images: Texts
    features: Features
    q: Matrix  # (queries, D), unit rows
    t: Matrix  # (titles, D)
    i: Matrix  # (images, D)
    last_q: int  # the largest numbers given so far
    last_f: int

    def title_rows(self, features: Features) -> Rows:
        """Return the row in `t` of each feature's title."""
        return self.titles.rows_of(features.f_title)

    def image_rows(self, features: Features) -> Rows:
        """Return the row in `i` of each feature's picture; 0, of no meaning, without a caption."""
        return np.where(features.pictured, self.images.rows_of(features.f_image), 0)


def load_corpus(store: Store, embedder: Embedder) -> Corpus:
    """Load the numbered texts, embedding those whose vectors are not kept yet."""
    queries, titles, images = (
        load_queries(store),
        load_texts(store, "title"),
        load_texts(store, "image"),
    )
    vectors = embed(store, embedder, [*queries.texts, *titles.texts, *images.texts])
    to_title, to_image = len(queries.texts), len(queries.texts) + len(titles.texts)
    return Corpus(
        queries,
        titles,
        images,
        load_features(store),
        vectors[:to_title],
        vectors[to_title:to_image],
        vectors[to_image:],
        int(store.scalar("SELECT coalesce(max(q), -1) FROM query_keys")),
        int(store.scalar("SELECT coalesce(max(f), -1) FROM features")),
    )
