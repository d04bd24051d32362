"""One page that shows a merchandiser what genfilt found, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genfilt.common.atomic import write_text
from genfilt.common.errors import UserError
from genfilt.common.html import render
from genfilt.common.photos import thumbnail
from genfilt.features.corpus import Corpus, load_corpus
from genfilt.features.embed import Embedder, Matrix
from genfilt.inspect.charts import curve, funnel, histogram
from genfilt.inspect.review import reviewed_precision
from genfilt.inspect.status import TITLE_PAIRS, warnings
from genfilt.store.store import Store, now

CARDS = 24  # corrections in the gallery
CARDS_FROM = 20_000  # corrections that they are chosen from
TITLE_CARDS = 8  # image-title corrections
FAILURES_SHOWN = 40
SAMPLED = 20_000  # pairs that a histogram is drawn from

Floats = npt.NDArray[np.float64]


class KeptVectors(Embedder):
    """The embedder of the current filter, for texts whose vectors are all kept."""

    def __init__(self, name: str) -> None:
        self.name = self.source = self.path = name

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Refuse: a report starts no model."""
        raise UserError(
            f"{len(texts):,} texts have no vectors yet; run genfilt filter again, then the report."
        )


def write_report(store: Store, path: Path) -> None:
    """Write the page, whole or not at all; what has not been run yet is said in its place.

    Raises:
        UserError: there are no products.
    """
    if not store.scalar("SELECT count(*) FROM products"):
        raise UserError(f"{store.path} has no products; run genfilt ingest first.")
    current = _current(store)
    corpus = load_corpus(store, KeptVectors(current["embedder"])) if current else None
    reviewed = reviewed_precision(store)
    headline = _headline(store)
    values = {
        "database": store.path,
        "written": f"{now():%Y-%m-%d %H:%M} UTC",
        "filter": current,
        "headline": headline,
        "products": funnel(_product_steps(store)),
        "pairs": funnel(_pair_steps(store), logarithmic=True) if current else None,
        "histograms": _histograms(store, corpus, current) if corpus and current else [],
        "precision": _precision(store, corpus, current) if corpus and current else None,
        "reviewed": None if reviewed is None else str(reviewed),
        "cards": _cards(store, headline["corrections"]),
        "title_cards": _title_cards(store),
        "failures": _failures(store),
        "warnings": warnings(store),
    }
    write_text(path, render("genfilt.inspect", "report.html.jinja", values))


def _current(store: Store) -> dict[str, Any] | None:
    rows = store.arrow("FROM filters WHERE current").to_pylist()
    return dict(rows[0]) if rows else None


HEADLINE = """
SELECT (SELECT count(*) FROM query_product_corrections) AS corrections,
       (SELECT count(DISTINCT query_id) FROM query_product_corrections) AS queries,
       (SELECT count(DISTINCT product_id) FROM query_product_corrections) AS products,
       (SELECT count(*) FROM verdicts WHERE positive AND split = 'train') AS known
"""
PRODUCT_STEPS = """
SELECT count(*), count(image_key), count(image_key) FILTER (caption <> '')
FROM products LEFT JOIN current_captions USING (image_key)
"""


def _headline(store: Store) -> dict[str, Any]:
    return {**store.arrow(HEADLINE).to_pylist()[0], "titles": store.scalar(TITLE_PAIRS)}


def _product_steps(store: Store) -> list[tuple[str, int]]:
    products, pictured, captioned = store.rows(PRODUCT_STEPS)[0]
    read = store.scalar(
        "SELECT count(*) FROM products SEMI JOIN current_attributes USING (title_key)"
    )
    return [
        ("products", products),
        ("with a title that was read", int(read)),
        ("with a picture", pictured),
        ("with a picture that was described", captioned),
    ]


def _pair_steps(store: Store) -> list[tuple[str, int]]:
    """Count distinct pairs of texts from all that there are down to what is new."""
    queries, features, candidates, passing = store.rows(
        "SELECT (SELECT count(*) FROM query_keys), "
        "(SELECT count(*) FROM features WHERE image_text <> ''), "
        "(SELECT count(*) FROM qp_candidates), (SELECT count(*) FROM qp_candidates "
        " JOIN filters USING (filter_id) WHERE current AND score >= sigma - 1e-6)"
    )[0]
    kept = store.scalar("SELECT count(*) FROM qp_corrections")
    unknown = store.scalar(
        "SELECT count(*) FROM qp_corrections c WHERE EXISTS (FROM product_no n WHERE n.f = c.f "
        "AND NOT EXISTS (FROM verdicts v WHERE v.q = c.q AND v.p = n.p AND v.split = 'train'))"
    )
    return [
        ("queries times products, distinct texts", queries * features),
        ("reach the floor", candidates),
        ("reach sigma", passing),
        ("are contradicted by nothing", int(kept)),
        ("are not known already", int(unknown)),
    ]


KNOWN_PAIRS = """
SELECT q, f FROM verdicts JOIN product_no USING (p)
WHERE positive AND split = 'train' AND f IS NOT NULL
GROUP BY q, f ORDER BY hash(q, f) LIMIT ?
"""


def _histograms(store: Store, corpus: Corpus, current: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the three similarities among any pairs and among pairs known to belong together."""
    # Another rule's sigma is a threshold of its score, not of a similarity.
    sigma = current["sigma"] if current["rule"] == "paper" else None
    rng = np.random.default_rng(0)
    features = corpus.features
    if not len(features.f) or not len(corpus.queries.texts):
        return []
    some_q = rng.integers(len(corpus.queries.texts), size=SAMPLED)
    some_f = rng.integers(len(features.f), size=SAMPLED)
    known = store.rows(KNOWN_PAIRS, [SAMPLED])
    pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
    pairs = pairs[np.isin(pairs[:, 0], corpus.queries.numbers) & np.isin(pairs[:, 1], features.f)]
    known_q = corpus.queries.rows_of(pairs[:, 0])
    known_f = np.searchsorted(features.f, pairs[:, 1])
    titles, images = corpus.title_rows(features), corpus.image_rows(features)
    every = np.arange(len(features.f))[:SAMPLED]
    other = rng.integers(len(features.f), size=SAMPLED)
    return [
        histogram(
            "Query and picture",
            _cosines(corpus.q, some_q, corpus.i, images[some_f]),
            _cosines(corpus.q, known_q, corpus.i, images[known_f]),
            sigma,
        ),
        histogram(
            "Query and title",
            _cosines(corpus.q, some_q, corpus.t, titles[some_f]),
            _cosines(corpus.q, known_q, corpus.t, titles[known_f]),
            sigma,
        ),
        histogram(
            "Picture and title",
            _cosines(corpus.i, images[some_f], corpus.t, titles[other]),
            _cosines(corpus.i, images[every], corpus.t, titles[every]),
            sigma,
        ),
    ]


def _cosines(
    left: Matrix, a: npt.NDArray[np.int64], right: Matrix, b: npt.NDArray[np.int64]
) -> Floats:
    cosines: Floats = np.einsum("nd,nd->n", left[a], right[b]).astype(np.float64)
    return cosines


def _precision(store: Store, corpus: Corpus, current: dict[str, Any]) -> dict[str, Any]:
    """Return the audit's curves, or why there are none."""
    from genfilt.filter.audit import audit
    from genfilt.filter.calibrated.estimated_precision import audit_calibrated

    calibrated = current["rule"] == "calibrated"
    try:
        if calibrated:
            found = audit_calibrated(store, corpus, KeptVectors(current["embedder"]))
        else:
            found = audit(store, corpus)
    except UserError as error:
        return {"lacking": str(error)}
    return {
        "lacking": None,
        "calibrated": calibrated,
        "chart": curve(found, current["sigma"]),
        "population": found["population"],
        "best": found["best"],
        "target": found["target_precision"],
    }


# As many from each fifth of the scores, each query once while there are enough of them. The page
# shows a few, so where there are many only each n-th is looked at.
CARDS_SQL = """
SELECT query, title, attributes, caption, image, q_i, q_t, score, reasons FROM (
    SELECT c.*, products.image, row_number() OVER (PARTITION BY fifth ORDER BY turn, lot) AS place
    FROM (SELECT *, ntile(5) OVER (ORDER BY score DESC) AS fifth,
                 row_number() OVER (PARTITION BY query ORDER BY hash(product_id)) AS turn,
                 hash(query_id, product_id) AS lot
          FROM query_product_corrections WHERE hash(query_id, product_id) % $part = 0) c
    JOIN products USING (product_id)
) WHERE place <= $each ORDER BY score DESC LIMIT $cards
"""
TITLE_CARDS_SQL = """
SELECT pictured.image, image_text AS caption, titled.title, i_t
FROM (FROM it_corrections ORDER BY hash(f_image, f_title) LIMIT $some) c
JOIN (SELECT f_image, image_text, min(product_id) AS product_id
      FROM features JOIN product_no USING (f) GROUP BY ALL) i USING (f_image)
JOIN (SELECT f_title, max(product_id) AS product_id
      FROM features JOIN product_no USING (f) GROUP BY ALL) t USING (f_title)
JOIN products pictured ON pictured.product_id = i.product_id
JOIN products titled ON titled.product_id = t.product_id
WHERE coalesce(i.product_id <> t.product_id, false)
ORDER BY hash(f_image, f_title) LIMIT $cards
"""


def _cards(store: Store, corrections: int) -> list[dict[str, Any]]:
    part = max(1, corrections // CARDS_FROM)
    names = {"each": -(-CARDS // 5), "cards": CARDS, "part": part}
    rows = store.arrow(CARDS_SQL, names).to_pylist()
    return [{**row, "thumbnail": thumbnail(row["image"])} for row in rows]


def _title_cards(store: Store) -> list[dict[str, Any]]:
    rows = store.arrow(
        TITLE_CARDS_SQL, {"some": 50 * TITLE_CARDS, "cards": TITLE_CARDS}
    ).to_pylist()
    return [{**row, "thumbnail": thumbnail(row["image"])} for row in rows]


def _failures(store: Store) -> dict[str, Any]:
    groups = store.arrow(
        "SELECT step, reason, count(*) AS number, min(item_key) AS example, "
        "arg_min(detail, item_key) AS detail FROM failures GROUP BY ALL "
        "ORDER BY number DESC, step, reason"
    ).to_pylist()
    return {"groups": groups[:FAILURES_SHOWN], "total": sum(group["number"] for group in groups)}
