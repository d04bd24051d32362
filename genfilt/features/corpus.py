"""The distinct texts of a database with their vectors: the input of both rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Rows, Vectors
from genfilt.features.embed import Embedder, embed, embed_relation
from genfilt.features.texts import (
    Features,
    Texts,
    load_features,
    load_numbers,
    load_queries,
    texts_of_kind,
)
from genfilt.features.vector_file import VectorSource, gather
from genfilt.store.store import Store


@dataclass(frozen=True)
class Corpus:
    """Distinct queries, titles and pictures, and the pairs of texts that products have.

    The vectors of many titles or pictures are a file: read them by `gather` and `block`. The texts
    of titles and pictures are left out, their numbers are here.
    """

    queries: Texts
    titles: Texts
    images: Texts
    features: Features
    q: Vectors  # (queries, D), unit rows
    t: VectorSource  # (titles, D)
    i: VectorSource  # (images, D)
    last_q: int  # the largest numbers given so far
    last_f: int

    @property
    def width(self) -> int:
        """The dimensions of the vectors; a side without a text has vectors of none."""
        return int(max(side.shape[1] for side in (self.q, self.t, self.i)))

    def title_rows(self, features: Features) -> Rows:
        """Return the row in `t` of each feature's title."""
        return self.titles.rows_of(features.f_title)

    def image_rows(self, features: Features) -> Rows:
        """Return the row in `i` of each feature's picture; 0, of no meaning, without a caption."""
        return np.where(features.pictured, self.images.rows_of(features.f_image), 0)

    def only(self, rows: Rows) -> Corpus:
        """Return the corpus of some products, by their rows, with their vectors in memory."""
        whole = self.features
        features = Features(whole.f[rows], whole.f_title[rows], whole.f_image[rows])
        titles = np.unique(features.f_title)
        images = np.unique(features.f_image[features.pictured])
        return replace(
            self,
            features=features,
            titles=Texts(titles, []),
            images=Texts(images, []),
            t=gather(self.t, self.titles.rows_of(titles)),
            i=gather(self.i, self.images.rows_of(images)),
        )

    def titles_of(self, features: Rows) -> Vectors:
        """Return the title vectors of rows of the features, (K, D)."""
        return gather(self.t, self.titles.rows_of(self.features.f_title[features]))

    def images_of(self, features: Rows) -> Vectors:
        """Return the picture vectors of rows of the features, 0 without a caption, (K, D)."""
        found = np.zeros((len(features), self.width), dtype=np.float32)
        numbers = self.features.f_image[features]
        pictured = np.flatnonzero(self.features.pictured[features])
        if len(pictured):
            found[pictured] = gather(self.i, self.images.rows_of(numbers[pictured]))
        return found


def load_corpus(store: Store, embedder: Embedder) -> Corpus:
    """Load the numbered texts, embedding those whose vectors are not kept yet."""
    queries = load_queries(store)
    q = embed(store, embedder, queries.texts)
    titles, images = (load_numbers(store, kind) for kind in ("title", "image"))
    t, i = (
        embed_relation(store, embedder, texts_of_kind(kind), f"{kind}s")
        for kind in ("title", "image")
    )
    return Corpus(
        queries,
        Texts(titles, []),
        Texts(images, []),
        load_features(store),
        *(q, t, i),
        int(store.scalar("SELECT coalesce(max(q), -1) FROM query_keys")),
        int(store.scalar("SELECT coalesce(max(f), -1) FROM features")),
    )
