"""What the calibrated rule sees of a database: vectors, things asked for, verdicts, the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder, Matrix, embed
from genfilt.features.texts import TEMPLATE
from genfilt.filter.calibrated.agreement_table import agreement_table
from genfilt.filter.calibrated.attribute_values import Asked, Product, asked_by, held_by
from genfilt.filter.calibrated.coverage import RELEVANT, UNJUDGED, Pairs
from genfilt.filter.calibrated.query_values import Queries
from genfilt.filter.calibrated.scoring import Products
from genfilt.filter.calibrated.title_models import Rows, count_values, title_folds
from genfilt.filter.calibrated.value_matching import ValueMatcher
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.protocols import Attributes
from genfilt.store.store import Store

TITLES = """
SELECT features.f, min(written) AS title, min(image_text) AS caption,
       min(core_word) AS core_word, min(material) AS material, min(brand) AS brand,
       min(color) AS color, min(model_parameters) AS model_parameters
FROM features LEFT JOIN product_no USING (f) LEFT JOIN products USING (product_id)
LEFT JOIN current_attributes USING (title_key)
WHERE features.image_text <> '' AND features.title_text <> ''
GROUP BY features.f ORDER BY features.f
"""
# Equal contents are one pair; a review rules over labels, labels are settled by majority.
TRAIN_LOG = """
WITH said AS (
    SELECT q, f, clicks, NULL AS label FROM clicks
    JOIN query_no USING (query_id) JOIN product_no USING (product_id) WHERE split = 'train'
    UNION ALL
    SELECT q, f, 0, label FROM labels
    JOIN query_no USING (query_id) JOIN product_no USING (product_id) WHERE split = 'train'
), reviewed AS (
    SELECT q, f, avg(positive::INTEGER) AS label FROM verdicts
    JOIN (SELECT DISTINCT p, f FROM product_no) USING (p)
    WHERE source = 'review' AND split = 'train' GROUP BY q, f
)
SELECT q, f, coalesce(sum(clicks), 0)::BIGINT AS clicks,
       coalesce(any_value(r.label), avg(said.label)) AS label
FROM said FULL JOIN reviewed r USING (q, f) WHERE f IS NOT NULL GROUP BY q, f ORDER BY q, f
"""
TRAIN_FEATURES = (
    "SELECT DISTINCT f FROM product_no JOIN products USING (product_id) "
    "WHERE split = 'train' AND f IS NOT NULL ORDER BY f"
)
QUERY_ATTRIBUTES = """
SELECT q, any_value(core_word), any_value(material), any_value(brand), any_value(color),
       any_value(model_parameters)
FROM query_keys JOIN current_attributes ON title_key = query_key GROUP BY q
"""
DATA = """
SELECT bit_xor(hash(q, f, clicks, label)) FROM log
UNION ALL
SELECT bit_xor(hash(title_key, image_key)) FROM products WHERE split = 'train'
"""

COMMON = 0.3  # share of the titles of a type from which a word qualifies the type


@dataclass(frozen=True)
class CalibrationData:
    """A corpus as the calibrated rule sees it; rows are those of the corpus.

    Attributes:
        asked: what each query asks for.
        facts: what each product's title and picture say.
        values: (V,) distinct things asked for, the most frequent first.
        log: (K,) all pairs that train clicks, labels or reviews speak of.
        train: (N,) rows of the train products.
        made_for: embedder, generators, template and data: what a fit holds for.
    """

    corpus: Corpus
    asked: list[tuple[Asked, ...]]
    facts: list[Product]
    judge: ValueMatcher
    values: list[Asked]
    queries: Queries
    products: Products
    log: Pairs
    train: Rows
    made_for: dict[str, str]


def load_calibration_data(store: Store, corpus: Corpus, embedder: Embedder) -> CalibrationData:
    """Read all that the calibrated rule needs, embedding titles and unknown words at need."""
    rows = store.rows(TITLES)
    titles = [title for _, title, *_ in rows]
    facts = [held_by(title, _attributes(fields), caption) for _, title, caption, *fields in rows]
    log = _log(store, corpus)
    asked = _asked(store, corpus, facts, log)
    counts = Counter(value for each in asked for value in each)
    values = sorted(counts, key=lambda value: (-counts[value], value))

    def similar(left: Sequence[str], right: Sequence[str]) -> Matrix:
        vectors = embed(store, embedder, [*left, *right])
        return np.asarray(vectors[: len(left)] @ vectors[len(left) :].T)

    judge = ValueMatcher.of(values, facts, similar)
    queries = Queries.of(corpus.q, asked, values)
    features = corpus.features
    products = Products(
        image=corpus.i[corpus.image_rows(features)],
        title=corpus.t[corpus.title_rows(features)],
        whole=embed(store, embedder, titles),
        fold=title_folds(titles),
        agreement_table=agreement_table(judge, values, facts),
        counts=count_values(queries, values, log, len(facts)),
    )
    train = store.arrow(TRAIN_FEATURES)["f"].to_numpy().astype(np.int64)
    train = np.flatnonzero(np.isin(features.f, train))
    made_for = _made_for(store, embedder)
    return CalibrationData(
        corpus, asked, facts, judge, values, queries, products, log, train, made_for
    )


def _asked(
    store: Store, corpus: Corpus, facts: Sequence[Product], log: Pairs
) -> list[tuple[Asked, ...]]:
    """Return what each query asks for.

    Words that no product has tell nothing where the log knows them ("cheap", "online"); a word
    that it has never met may be what the query is about, and stays, confirmed by nothing.
    """
    stored = {q: _attributes(fields) for q, *fields in store.rows(QUERY_ATTRIBUTES)}
    reader = _lexicon(store)
    texts = zip(corpus.queries.numbers.tolist(), corpus.queries.texts, strict=True)
    asked = [asked_by(text, stored.get(q) or reader.attributes(text)) for q, text in texts]
    stems = {stem for product in facts for said in product.values() for stem in said.stems}
    empty = {each for row in np.unique(log.q) for each in asked[row] if each[0] == "words"}
    empty = {each for each in empty if each[1] not in stems}
    asked = [tuple(each for each in found if each not in empty) for found in asked]
    return qualified(asked, facts)


def qualified(
    asked: Sequence[tuple[Asked, ...]], facts: Sequence[Product]
) -> list[tuple[Asked, ...]]:
    """Tell words that many of a kind have from those that single a product out.

    Half of all shirts are "button-up" ones: a word of more than COMMON of the titles of the type
    that the query asks for is worth something else than a rare one, and has weights of its own.
    """
    titles: dict[str, list[frozenset[str]]] = {}
    for product in facts:
        for family, kind in product["title"].held:
            if family == "type":
                titles.setdefault(kind, []).append(product["title"].stems)

    @cache
    def qualifies(word: str, kind: str) -> bool:
        of_kind = titles.get(kind, [])
        return sum(word in stems for stems in of_kind) > COMMON * len(of_kind)

    def named(value: Asked, types: Sequence[str]) -> Asked:
        family, word = value
        if family == "words" and any(qualifies(word, kind) for kind in types):
            return "qualifier", word
        return value

    found = []
    for wanted in asked:
        types = [kind for family, kind in wanted if family == "type"]
        found.append(tuple(named(value, types) for value in wanted))
    return found


def _lexicon(store: Store) -> Lexicon:
    """Return the lexicon that read the titles, else one that knows the vocabulary alone."""
    state = store.scalar(
        "SELECT state FROM generator_states JOIN meta ON name = 'llm' AND generator = value "
        "WHERE starts_with(generator, 'lexicon-')"
    )
    return Lexicon({}, ()) if state is None else Lexicon.from_state(bytes(state))


def _attributes(fields: Sequence[str | None]) -> Attributes | None:
    core_word, material, brand, color, parameters = fields
    if not any(fields):
        return None
    return Attributes(core_word, material, brand, color, parameters, raw="")


def _log(store: Store, corpus: Corpus) -> Pairs:
    table = store.arrow(TRAIN_LOG)
    q, f = (table[name].to_numpy().astype(np.int64) for name in ("q", "f"))
    here = np.isin(q, corpus.queries.numbers) & np.isin(f, corpus.features.f)
    label = table["label"].to_pandas().to_numpy(dtype=np.float64)
    verdict = np.where(np.isnan(label), UNJUDGED, (label >= 0.5) * RELEVANT).astype(np.int8)
    return Pairs(
        corpus.queries.rows_of(q[here]),
        np.searchsorted(corpus.features.f, f[here]),
        np.ones(int(here.sum())),
        table["clicks"].to_numpy().astype(np.int64)[here],
        verdict[here],
    )


def _made_for(store: Store, embedder: Embedder) -> dict[str, str]:
    log = store.arrow(TRAIN_LOG)
    with store.registered("log", log):
        data = [str(value or 0) for (value,) in store.rows(DATA)]
    return {
        "embedder": embedder.name,
        "llm": str(store.meta("llm")),
        "captioner": str(store.meta("captioner")),
        "template": TEMPLATE,
        "data": "-".join(data),
    }
