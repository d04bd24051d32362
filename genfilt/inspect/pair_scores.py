"""The current rule's score of one pair, also of texts that the database has not.

The paper's rule reads two or three vectors. The calibrated one reads its stored fit too, the
product's train log and the queries of that log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Rows, Vectors
from genfilt.common.errors import UserError
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder
from genfilt.features.texts import Features, Texts
from genfilt.filter.agreement.agreement_table import agreement_table
from genfilt.filter.agreement.attribute_values import Product, RequestedValue, values_of_product
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.agreement.request_words import found_values
from genfilt.filter.agreement.value_matching import ValueMatcher
from genfilt.filter.audit import TITLE_ALONE
from genfilt.filter.calibrated.calibration_data import CalibrationData
from genfilt.filter.calibrated.candidates import Scorer
from genfilt.filter.calibrated.click_counts import count_values
from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.database_input import (
    is_train_product,
    judgement,
    read_product_log,
    read_query_attributes,
)
from genfilt.filter.calibrated.fit_record import FitRecord, stored_parts, stored_words
from genfilt.filter.calibrated.scoring import Products
from genfilt.filter.calibrated.title_models import title_folds
from genfilt.filter.joining import query_cosines
from genfilt.filter.paper import PaperRule
from genfilt.filter.rules import stored_record
from genfilt.inspect.pair_texts import (
    PairProduct,
    PairQuery,
    pair_corpus,
    statement,
    text_vectors,
)
from genfilt.store.keys import normalize_query
from genfilt.store.store import Store

QUERY_TEXTS = """
SELECT q, min(query) FROM query_no JOIN queries USING (query_id)
WHERE q IN (SELECT unnest(?)) GROUP BY q
"""
NO_ROWS = np.zeros(0, dtype=np.int64)
NO_FEATURES = Features(NO_ROWS, NO_ROWS, NO_ROWS)
NO_TEXTS = Texts(np.zeros(0, dtype=np.int64), [])


@dataclass(frozen=True)
class PairScore:
    """A pair's scores as `qp_candidates` has them; score is None where the rule gives none."""

    q_i: float | None
    q_t: float | None
    cosine: float | None
    score: float | None
    vetoed: bool
    reasons: str | None


def score_pair(
    store: Store, embedder: Embedder, embedder_name: str, query: PairQuery, product: PairProduct
) -> PairScore:
    """Score a pair by the current rule; nothing is written.

    Raises:
        UserError: the current filter has no stored fit, or another embedder.
    """
    if not product.feature:
        return PairScore(None, None, None, None, vetoed=False, reasons=None)
    texts = [query.text, product.feature, *([product.caption] if product.caption else [])]
    vectors = text_vectors(store, embedder, embedder_name, texts)
    corpus = pair_corpus(vectors[:1], vectors[1:2], vectors[2:])
    here = np.zeros(1, dtype=np.int64)
    q_i, q_t = query_cosines(corpus, here, here)
    cosine = float(q_t[0] if np.isnan(q_i[0]) else (q_i[0] + q_t[0]) / 2)
    found = PairScore(
        q_i=None if np.isnan(q_i[0]) else float(q_i[0]),
        q_t=float(q_t[0]),
        cosine=cosine,
        score=None,
        vetoed=False,
        reasons=None if product.caption else TITLE_ALONE,
    )
    record = stored_record(store)
    if record is None:
        return replace(found, score=float(PaperRule(store, corpus).scores(here, here)[0]))

    def vectors_of(texts: Sequence[str]) -> Vectors:
        return text_vectors(store, embedder, embedder_name, texts)

    scorer = _scorer(store, record, corpus, _read_log(store, record, query, product), vectors_of)
    if scorer is None:
        return found
    score, vetoed = scorer.scores(here, here)
    reasons = scorer.reasons(here, here)[0] or None
    return replace(found, score=float(score[0]), vetoed=bool(vetoed[0]), reasons=reasons)


@dataclass(frozen=True)
class _PairLog:
    """What the calibrated rule reads of a pair's query and product in catalogue and train log.

    Attributes:
        numbers: (Q,) q of the pair's query, then of the queries with a train click or label for
            the product.
        requested: the values that each of them requests.
        log: their train pairs with the product, by these rows; the product's row is 0.
        title: of the product.
        values: of the product.
        train: whether it is a train product.
    """

    numbers: Rows
    requested: list[tuple[RequestedValue, ...]]
    log: Pairs
    title: str
    values: Product
    train: bool


def _read_log(store: Store, record: FitRecord, query: PairQuery, product: PairProduct) -> _PairLog:
    words = stored_words(record)
    if words is None:
        raise UserError(f"{store.path} has a fit of an older version; run genfilt filter again.")
    f = -1 if product.f is None else product.f
    rows = read_product_log(store, f)
    q = -1 if query.q is None else query.q
    numbers = np.array([q, *sorted({q for q, *_ in rows} - {q})], dtype=np.int64)
    texts = dict(store.rows(QUERY_TEXTS, [numbers.tolist()]))
    spelled = [query.text, *(normalize_query(texts[each]) for each in numbers[1:].tolist())]
    queries = Texts(numbers, spelled)
    nothing = np.zeros((0, 0), dtype=np.float32)
    corpus = Corpus(queries, NO_TEXTS, NO_TEXTS, NO_FEATURES, nothing, nothing, nothing, 0, 0)
    found = found_values(spelled, read_query_attributes(store, corpus))
    place = {number: row for row, number in enumerate(numbers.tolist())}
    labels = np.array([np.nan if label is None else label for *_, label in rows])
    log = Pairs(
        np.array([place[each] for each, *_ in rows], dtype=np.int64),
        np.zeros(len(rows), dtype=np.int64),
        np.ones(len(rows)),
        np.array([clicks for _, clicks, _ in rows], dtype=np.int64),
        judgement(labels),
    )
    return _PairLog(
        numbers=numbers,
        requested=[words.requested(*pair) for pair in zip(spelled, found, strict=True)],
        log=log,
        title=product.title,
        values=values_of_product(product.title, product.attributes, product.caption),
        train=is_train_product(store, f),
    )


def _scorer(
    store: Store,
    record: FitRecord,
    corpus: Corpus,
    pair: _PairLog,
    vectors_of: Callable[[Sequence[str]], Vectors],
) -> Scorer | None:
    """Return the stored fit for the pair in row 0; None where it has no part for such products."""
    parts = stored_parts(record, pair.numbers)
    pictured, alone = store.rows(statement("kinds"))[0]
    kinds = [kind for kind, there in ((True, pictured), (False, alone)) if there]
    captioned = bool(corpus.features.pictured[0])
    if captioned not in kinds or len(kinds) != len(parts):
        return None
    part = parts[kinds.index(captioned)]
    data = _data(corpus, pair, vectors_of)
    if not captioned:
        data = data.without_pictures()
    here = np.zeros(1, dtype=np.int64)
    return Scorer(part.calibration, data, part.unseen, part.offsets, here)


def _data(
    corpus: Corpus, pair: _PairLog, vectors_of: Callable[[Sequence[str]], Vectors]
) -> CalibrationData:
    """Return the rule's inputs for the product and the queries of its log."""

    def similar(left: Sequence[str], right: Sequence[str]) -> Vectors:
        both = vectors_of([*left, *right])
        return np.asarray(both[: len(left)] @ both[len(left) :].T)

    values = sorted({value for each in pair.requested for value in each})
    matcher = ValueMatcher.of(values, [pair.values], similar)
    # Of the other queries the requested values alone are read.
    vectors = np.zeros((len(pair.numbers), corpus.width), dtype=np.float32)
    vectors[0] = corpus.q[0]
    queries = Queries.of(vectors, pair.requested, values)
    here = np.zeros(1, dtype=np.int64)
    products = Products(
        image=corpus.images_of(here),
        title=corpus.titles_of(here),
        written=vectors_of([pair.title]),
        fold=title_folds([pair.title]),
        agreement_table=agreement_table(matcher, values, [pair.values]),
        counts=count_values(queries, values, pair.log, 1),
    )
    return CalibrationData(
        corpus=corpus,
        requested=pair.requested,
        product_values=[pair.values],
        matcher=matcher,
        values=values,
        queries=queries,
        products=products,
        log=pair.log,
        train=np.zeros(int(pair.train), dtype=np.int64),
        made_for={},
    )
