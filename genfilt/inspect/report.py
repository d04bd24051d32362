"""The report: one page that shows a merchandiser what was found, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.errors import UserError
from genfilt.common.html import content_hash, render
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import KeptVectors
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.inspect.charts import curve
from genfilt.inspect.counts import count_corrections, val_audit
from genfilt.inspect.report_cards import PICTURES, card_choices, correction_cards, title_cards
from genfilt.inspect.report_sections import (
    failure_groups,
    generator_health,
    pair_steps,
    product_steps,
    query_gains,
)
from genfilt.inspect.review import reviewed_precision
from genfilt.inspect.similarities import similarity_histograms
from genfilt.inspect.status import warnings
from genfilt.store.store import Store, now

CARDS_ON_A_PAGE = 24  # as static/report.js pages them
RULES = {
    "paper": "a similarity of texts, from 0 to 1",
    "calibrated": "the estimated probability that a match is right",
}


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

    The page needs no network: its style and its one script are allowed by their hashes, and
    pictures are data URLs.

    Raises:
        UserError: there are no products, or texts were added after the last filter.
    """
    if not store.scalar("SELECT count(*) FROM products"):
        raise UserError(f"{store.path} has no products; run genfilt ingest first.")
    style, script = (
        (files("genfilt.inspect") / "static" / name).read_text("utf-8")
        for name in ("report.css", "report.js")
    )
    values = {
        **_sections(store),
        "style": style,
        "script": script,
        "policy": (
            f"default-src 'none'; img-src data:; style-src {content_hash(style)}; "
            f"script-src {content_hash(script)}; base-uri 'none'; form-action 'none'"
        ),
    }
    write_text(path, render("genfilt.inspect", "report.html.jinja", values))


def _sections(store: Store) -> dict[str, object]:
    """Return what the template shows, by its names."""
    current = _current(store)
    corpus = load_corpus(store, KeptVectors(current.embedder)) if current else None
    counts = count_corrections(store)
    audited = val_audit(store)
    reviewed = reviewed_precision(store)
    cards = correction_cards(store, counts.train)
    values: dict[str, object] = {
        "database": store.path,
        "written": f"{now():%Y-%m-%d %H:%M} UTC",
        "filter": current,
        "score_meaning": RULES.get(current.rule) if current else None,
        "counts": counts,
        "known": store.scalar("SELECT count(*) FROM verdicts WHERE positive AND split = 'train'"),
        "val_audit": None if audited is None else str(audited),
        "products": product_steps(store),
        "pairs": pair_steps(store) if current else None,
        "histograms": [],
        "precision": None,
        "reviewed": None if reviewed is None else str(reviewed),
        "cards": cards,
        "page": CARDS_ON_A_PAGE,
        "pictures": PICTURES,
        "kinds": card_choices(cards, "kinds"),
        "categories": card_choices(cards, "category"),
        "title_cards": title_cards(store),
        "gains": query_gains(store) if current else None,
        "health": generator_health(store),
        "failures": failure_groups(store),
        "warnings": warnings(store),
    }
    if current and corpus:
        # Another rule's sigma is a threshold of its score, not of a similarity.
        sigma = current.sigma if current.rule == "paper" else None
        values["histograms"] = similarity_histograms(store, corpus, sigma)
        values["precision"] = _precision(store, current)
    return values


def _current(store: Store) -> CurrentFilter | None:
    rows = store.rows(
        "SELECT rule, sigma, floor, embedder, llm, captioner FROM filters WHERE current"
    )
    return CurrentFilter(*rows[0]) if rows else None


def _precision(store: Store, current: CurrentFilter) -> dict[str, object]:
    """Return the audit's curves, or why there are none; a stored fit is read, not fitted again."""
    from genfilt.filter.rules import audit_filter

    try:
        found = audit_filter(
            store, KeptVectors(current.embedder), target_precision=TARGET_PRECISION
        )
    except UserError as error:
        return {"lacking": str(error), "forecast": None}
    return {
        "lacking": None,
        "calibrated": found.reliability is not None,
        "chart": curve(found.curve, found.best.sigma, found.target_precision, current.sigma),
        "population": found.population,
        "best": found.best,
        "target": found.target_precision,
        "forecast": found.forecast,
    }
