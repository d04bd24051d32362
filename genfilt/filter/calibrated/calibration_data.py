"""The arrays that the calibrated rule is fitted on and applied to, loaded from a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from genfilt.common.arrays import Rows, Vectors
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder, embed
from genfilt.filter.agreement.agreement_table import agreement_table
from genfilt.filter.agreement.attribute_values import (
    Product,
    RequestedValue,
    query_words,
    values_of_query,
)
from genfilt.filter.agreement.query_values import Queries
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
)
from genfilt.filter.calibrated.scoring import Products
from genfilt.filter.calibrated.title_models import title_folds
from genfilt.generators.protocols import Attributes
from genfilt.store.store import Store

MIN_QUALIFIER_SHARE = 0.3  # of a type's titles that have a word, from which it qualifies the type


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


def load_calibration_data(store: Store, corpus: Corpus, embedder: Embedder) -> CalibrationData:
    """Read the rule's inputs; titles and words without a vector are embedded."""
    texts = read_products(store)
    train_log = read_train_log(store)
    log = log_pairs(train_log, corpus)
    attributes = read_query_attributes(store, corpus)
    requested = requested_values(corpus.queries.texts, attributes, texts.values, log)
    counts = Counter(value for each in requested for value in each)
    values = sorted(counts, key=lambda value: (-counts[value], value))

    def similar(left: Sequence[str], right: Sequence[str]) -> Vectors:
        vectors = embed(store, embedder, [*left, *right])
        return np.asarray(vectors[: len(left)] @ vectors[len(left) :].T)

    matcher = ValueMatcher.of(values, texts.values, similar)
    queries = Queries.of(corpus.q, requested, values)
    products = Products(
        image=_images(corpus),
        title=corpus.t[corpus.title_rows(corpus.features)],
        written=embed(store, embedder, texts.titles),
        fold=title_folds(texts.titles),
        agreement_table=agreement_table(matcher, values, texts.values),
        counts=count_values(queries, values, log, len(texts.values)),
    )
    return CalibrationData(
        corpus=corpus,
        requested=requested,
        product_values=texts.values,
        matcher=matcher,
        values=values,
        queries=queries,
        products=products,
        log=log,
        train=read_train_rows(store, corpus),
        made_for=fitted_for(store, embedder.name, train_log),
    )


def _images(corpus: Corpus) -> Vectors:
    """Return the picture vectors of all products, 0 without a caption, (F, D)."""
    pictured = corpus.features.pictured
    image = np.zeros((len(pictured), corpus.q.shape[1]), dtype=np.float32)
    image[pictured] = corpus.i[corpus.image_rows(corpus.features)[pictured]]
    return image


def requested_values(
    queries: Sequence[str],
    attributes: Sequence[Attributes | None],
    product_values: Sequence[Product],
    log: Pairs,
) -> list[tuple[RequestedValue, ...]]:
    """Return the values that each query requests.

    Words that no product has carry no information where the train log has them ("cheap",
    "online") and are dropped; such a word of a query without clicks may be what the query is about,
    and is kept, confirmed by nothing.
    """
    found = [values_of_query(*pair) for pair in zip(queries, attributes, strict=True)]
    lemmas = {
        lemma for product in product_values for text in product.values() for lemma in text.lemmas
    }
    logged = {value for row in np.unique(log.q) for value in found[row]}
    empty = {(name, word) for name, word in logged if name == "words" and word not in lemmas}
    kept = [tuple(value for value in each if value not in empty) for each in found]
    named = qualified(kept, product_values)
    return [(*each, *query_words(text)) for each, text in zip(named, queries, strict=True)]


def qualified(
    requested: Sequence[tuple[RequestedValue, ...]], product_values: Sequence[Product]
) -> list[tuple[RequestedValue, ...]]:
    """Move words that many products of the requested type have to the family "qualifier".

    Half of all shirts are "button-up" ones: a word of more than MIN_QUALIFIER_SHARE of the titles
    of the requested type carries less information than a rare one, and has weights of its own.
    """
    titles: dict[str, list[frozenset[str]]] = {}
    for product in product_values:
        for family, kind in product["title"].values:
            if family == "type":
                titles.setdefault(kind, []).append(product["title"].lemmas)

    @cache
    def qualifies(word: str, kind: str) -> bool:
        of_kind = titles.get(kind, [])
        return sum(word in lemmas for lemmas in of_kind) > MIN_QUALIFIER_SHARE * len(of_kind)

    def moved(value: RequestedValue, types: Sequence[str]) -> RequestedValue:
        family, word = value
        if family == "words" and any(qualifies(word, kind) for kind in types):
            return "qualifier", word
        return value

    found = []
    for wanted in requested:
        types = [kind for family, kind in wanted if family == "type"]
        found.append(tuple(moved(value, types) for value in wanted))
    return found
