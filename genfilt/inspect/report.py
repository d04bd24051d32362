"""The report: one page that shows a merchandiser what was found, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UserError
from genfilt.common.html import render
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder, Matrix
from genfilt.inspect.charts import curve, funnel
from genfilt.inspect.counts import count_corrections, val_audit
from genfilt.inspect.report_cards import correction_cards, title_cards
from genfilt.inspect.review import reviewed_precision
from genfilt.inspect.similarities import similarity_histograms
from genfilt.inspect.status import warnings
from genfilt.store.store import Store, now

FAILURES_SHOWN = 40
TARGET_PRECISION = 0.95  # that the page names the best sigma for


class KeptVectors(Embedder):
    """The embedder of the current filter, for texts whose vectors are all kept."""

    def __init__(self, name: str) -> None:
        self.name = self.source = self.path = name

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Refuse: a report starts no model."""
        raise UserError(
            f"{len(texts):,} texts have no vectors yet; run genfilt filter again, then the report."
        )


@dataclass(frozen=True)
class CurrentFilter:
    """The settings of the current filter, as the page prints them."""

    rule: str
    sigma: float
    floor: float
    embedder: str
    llm: str
    captioner: str


def write_report(store: Store, path: Path) -> None:
    """Write the page, whole or not at all; it names the steps that have not been run yet.

    Raises:
        UserError: there are no products, or texts were added after the last filter.
    """
    if not store.scalar("SELECT count(*) FROM products"):
        raise UserError(f"{store.path} has no products; run genfilt ingest first.")
    current = _current(store)
    corpus = load_corpus(store, KeptVectors(current.embedder)) if current else None
    counts = count_corrections(store)
    audited = val_audit(store)
    reviewed = reviewed_precision(store)
    values: dict[str, object] = {
        "database": store.path,
        "written": f"{now():%Y-%m-%d %H:%M} UTC",
        "filter": current,
        "counts": counts,
        "known": store.scalar("SELECT count(*) FROM verdicts WHERE positive AND split = 'train'"),
        "val_audit": None if audited is None else str(audited),
        "products": funnel(_product_steps(store)),
        "pairs": funnel(_pair_steps(store), logarithmic=True) if current else None,
        "histograms": [],
        "precision": None,
        "reviewed": None if reviewed is None else str(reviewed),
        "cards": correction_cards(store, counts.train),
        "title_cards": title_cards(store),
        "failures": _failures(store),
        "warnings": warnings(store),
    }
    if current and corpus:
        # Another rule's sigma is a threshold of its score, not of a similarity.
        sigma = current.sigma if current.rule == "paper" else None
        values["histograms"] = similarity_histograms(store, corpus, sigma)
        values["precision"] = _precision(store, current)
    write_text(path, render("genfilt.inspect", "report.html.jinja", values))


def _current(store: Store) -> CurrentFilter | None:
    rows = store.rows(
        "SELECT rule, sigma, floor, embedder, llm, captioner FROM filters WHERE current"
    )
    return CurrentFilter(*rows[0]) if rows else None


PRODUCT_STEPS = """
SELECT count(*), count(image_key), count(image_key) FILTER (caption <> '')
FROM products LEFT JOIN current_captions USING (image_key)
"""


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
    """Count distinct pairs of texts from all that there are down to the new ones."""
    queries, features, candidates, passing = store.rows(
        "SELECT (SELECT count(*) FROM query_keys), "
        "(SELECT count(*) FROM features WHERE title_text <> ''), "
        "(SELECT count(*) FROM qp_candidates JOIN filters USING (filter_id) WHERE current), "
        "(SELECT count(*) FROM qp_candidates "
        " JOIN filters USING (filter_id) WHERE current AND score >= sigma - 1e-6)"
    )[0]
    kept = store.scalar("SELECT count(*) FROM qp_corrections")
    new = store.scalar(
        "SELECT count(*) FROM qp_corrections c WHERE EXISTS (FROM product_no n "
        "JOIN products USING (product_id) WHERE n.f = c.f AND split = 'train' "
        "AND NOT EXISTS (FROM verdicts v WHERE v.q = c.q AND v.p = n.p))"
    )
    return [
        ("queries times products, distinct texts", queries * features),
        ("reach the floor", candidates),
        ("reach sigma", passing),
        ("are contradicted by nothing", int(kept)),
        ("are new: of a train product, without a click, label or review", int(new)),
    ]


def _precision(store: Store, current: CurrentFilter) -> dict[str, object]:
    """Return the audit's curves, or why there are none; a stored fit is read, not fitted again."""
    from genfilt.filter.rules import audit_filter

    try:
        found = audit_filter(
            store, KeptVectors(current.embedder), target_precision=TARGET_PRECISION
        )
    except UserError as error:
        return {"lacking": str(error)}
    return {
        "lacking": None,
        "calibrated": found.reliability is not None,
        "chart": curve(found.curve, found.best.sigma, found.target_precision, current.sigma),
        "population": found.population,
        "best": found.best,
        "target": found.target_precision,
    }


def _failures(store: Store) -> dict[str, object]:
    groups = store.arrow(
        "SELECT step, reason, count(*) AS number, min(item_key) AS example, "
        "arg_min(detail, item_key) AS detail FROM failures GROUP BY ALL "
        "ORDER BY number DESC, step, reason"
    ).to_pylist()
    return {"groups": groups[:FAILURES_SHOWN], "total": sum(group["number"] for group in groups)}
