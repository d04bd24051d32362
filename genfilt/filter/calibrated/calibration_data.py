"""The arrays that the calibrated rule is fitted on and applied to, loaded from a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Bools, Rows, Vectors
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder, embed, embed_relation
from genfilt.features.vector_file import VectorSource, gather
from genfilt.filter.agreement.agreement_table import agreement_table
from genfilt.filter.agreement.attribute_values import Product, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.agreement.request_words import RequestWords, found_values
from genfilt.filter.agreement.value_matching import ValueMatcher
from genfilt.filter.calibrated.click_counts import count_values
from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.database_input import (
    fitted_for,
    log_pairs,
    read_products,
    read_query_attributes,
    read_train_log,
    read_train_rows,
    sampled_products,
    stage_products,
)
from genfilt.filter.calibrated.scoring import Products
from genfilt.filter.calibrated.title_models import title_folds
from genfilt.store.store import Store

# Products that a fit reads, at 20 kB each: their pairs are sampled to 300,000 in any case.
MAX_FITTED_PRODUCTS = 32_768


@dataclass(frozen=True)
class CalibrationData:
    """A corpus with its requested values, agreement table and train log, by rows of the corpus.

    Attributes:
        requested: the values that each query requests.
        product_values: the values of each product's title and picture.
        matcher: compares the two.
        values: (V,) distinct requested values, the most frequent first.
        log: (K,) all pairs with train clicks, labels or reviews.
        train: (N,) rows of the train products.
        made_for: embedder, generators, template and data for which a fit holds.
    """

    corpus: Corpus
    requested: list[tuple[RequestedValue, ...]]
    product_values: list[Product]
    matcher: ValueMatcher
    values: list[RequestedValue]
    queries: Queries
    products: Products
    log: Pairs
    train: Rows
    made_for: dict[str, str]

    def without_pictures(self) -> CalibrationData:
        """Return the data with every caption left out, for products that have a title alone."""
        products = self.products
        image = np.zeros_like(products.image)
        titles = products.agreement_table.without_pictures()
        return replace(self, products=replace(products, image=image, agreement_table=titles))


@dataclass(frozen=True)
class Catalogue:
    """All products of a database, whose calibration data are read for some products at a time.

    Attributes:
        store: has the products' texts staged.
        corpus: the texts and their vectors.
        words: what titles say of the words of queries.
        requested: the values that each query requests.
        values: (V,) distinct requested values, the most frequent first.
        queries: their vectors and values.
        written: (F, D) vectors of the titles as written.
        log: all pairs with train clicks, labels or reviews, by row of the product.
        train: (F,) which products are train products.
        made_for: embedder, generators, template and data for which a fit holds.
        word_vectors: of words that texts and queries have.
    """

    store: Store
    corpus: Corpus
    words: RequestWords
    requested: list[tuple[RequestedValue, ...]]
    values: list[RequestedValue]
    queries: Queries
    written: VectorSource
    log: Pairs
    train: Bools
    made_for: dict[str, str]
    word_vectors: WordVectors

    def part(self, rows: Rows) -> CalibrationData:
        """Return the data of some products, by their rows in the corpus, (N,) ascending."""
        corpus = self.corpus.only(rows)
        texts = read_products(self.store, corpus.features.f)
        log = self._log_of(rows)
        every = np.arange(len(rows))
        matcher = ValueMatcher.of(self.values, texts.values, self.word_vectors.similar)
        products = Products(
            image=corpus.images_of(every),
            title=corpus.titles_of(every),
            written=gather(self.written, rows),
            fold=title_folds(texts.titles),
            agreement_table=agreement_table(matcher, self.values, texts.values),
            counts=count_values(self.queries, self.values, log, len(rows)),
        )
        return CalibrationData(
            corpus=corpus,
            requested=self.requested,
            product_values=texts.values,
            matcher=matcher,
            values=self.values,
            queries=self.queries,
            products=products,
            log=log,
            train=np.flatnonzero(self.train[rows]),
            made_for=self.made_for,
        )

    def _log_of(self, rows: Rows) -> Pairs:
        """Return the log of some products, by their place among the rows."""
        first, last = (np.searchsorted(self.log.f, rows, side) for side in ("left", "right"))
        count = last - first
        place = np.repeat(np.arange(len(rows)), count)
        starts = np.repeat(first - np.concatenate([[0], count.cumsum()[:-1]]), count)
        log = self.log.only(starts + np.arange(len(place)))
        return replace(log, f=place)


class WordVectors:
    """The vectors of single words and phrases, each embedded once."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self.store, self.embedder = store, embedder
        self._known: dict[str, Vectors] = {}

    def similar(self, left: Sequence[str], right: Sequence[str]) -> Vectors:
        """Return the cosines of two lists of words, (A, B)."""
        new = [word for word in dict.fromkeys((*left, *right)) if word not in self._known]
        if new:
            self._known.update(zip(new, embed(self.store, self.embedder, new), strict=True))
        sides = (np.array([self._known[word] for word in words]) for words in (left, right))
        a, b = sides
        return np.asarray(a @ b.T)


def load_catalogue(
    store: Store, corpus: Corpus, embedder: Embedder, words: RequestWords | None = None
) -> Catalogue:
    """Read the rule's inputs but those of single products; titles without a vector are embedded.

    Args:
        store: the database.
        corpus: its texts and their vectors.
        embedder: of the titles as written, and of words.
        words: those of a stored fit; None learns them from `fitted_rows` of the catalogue.
    """
    stage_products(store)
    train_log = read_train_log(store)
    log = log_pairs(train_log, corpus)
    found = found_values(corpus.queries.texts, read_query_attributes(store, corpus))
    if words is None:
        sample = read_products(store, corpus.features.f[fitted_rows(store, corpus)])
        words = RequestWords.of(found, np.unique(log.q).tolist(), sample.values)
    texts = zip(corpus.queries.texts, found, strict=True)
    requested = [words.requested(text, each) for text, each in texts]
    counts = Counter(value for each in requested for value in each)
    values = sorted(counts, key=lambda value: (-counts[value], value))
    train = np.zeros(len(corpus.features.f), dtype=bool)
    train[read_train_rows(store, corpus)] = True
    return Catalogue(
        store=store,
        corpus=corpus,
        words=words,
        requested=requested,
        values=values,
        queries=Queries.of(corpus.q, requested, values),
        written=embed_relation(
            store, embedder, "SELECT f AS number, title AS text FROM product_texts", "written"
        ),
        log=log.only(np.argsort(log.f, kind="stable")),
        train=train,
        made_for=fitted_for(store, embedder.name, train_log),
        word_vectors=WordVectors(store, embedder),
    )


def fitted_rows(store: Store, corpus: Corpus) -> Rows:
    """Return the rows of the products that a fit reads: all, or of many a sample by content."""
    if len(corpus.features.f) <= MAX_FITTED_PRODUCTS:
        return np.arange(len(corpus.features.f))
    return np.searchsorted(corpus.features.f, sampled_products(store, MAX_FITTED_PRODUCTS))


def load_calibration_data(store: Store, corpus: Corpus, embedder: Embedder) -> CalibrationData:
    """Return the data of all products, held in memory."""
    return load_catalogue(store, corpus, embedder).part(np.arange(len(corpus.features.f)))
