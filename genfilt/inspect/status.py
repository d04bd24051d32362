"""The status of a database: contents, missing steps and warnings."""

from __future__ import annotations

import json
from typing import TypedDict

from genfilt.extract.generator_quality import abstention_advice, abstentions, grounding
from genfilt.filter.audit import forecast_lines
from genfilt.filter.forecast import stored_forecast
from genfilt.inspect.counts import count_corrections
from genfilt.inspect.language import unreadable_titles
from genfilt.store.store import Store

GROWN = 1.2  # times the products that a generator was fitted to
TABLES = ("products", "queries", "clicks", "labels", "reviews", "attributes", "captions")

COVERAGE = {
    "titles without attributes": (
        "SELECT count(DISTINCT title_key) FROM products "
        "ANTI JOIN current_attributes USING (title_key)"
    ),
    "pictures without a caption": (
        "SELECT count(DISTINCT image_key) FROM products "
        "ANTI JOIN current_captions USING (image_key) WHERE image_key IS NOT NULL"
    ),
    "titles with given attributes": "SELECT count(*) FROM attributes WHERE generator = 'given'",
    "pictures with given captions": "SELECT count(*) FROM captions WHERE generator = 'given'",
    "products without a picture": "SELECT count(*) FROM products WHERE image_key IS NULL",
    "products that no correction can reach": (
        "SELECT count(*) FROM products ANTI JOIN current_attributes USING (title_key)"
    ),
}


class Row(TypedDict):
    """A line of the status."""

    what: str
    count: int | None
    detail: str


def status(store: Store) -> list[Row]:
    """Return what the database contains, what is missing and what looks wrong."""
    rows = [_row(name, store.scalar(f"SELECT count(*) FROM {name}")) for name in TABLES]
    rows += [_row(name, store.scalar(sql)) for name, sql in COVERAGE.items()]
    rows += _generator_quality(store)
    rows += _corrections(store)
    rows += [
        _row(f"failures of {step}", count, f"{reason} ({generator})" if generator else reason)
        for step, reason, generator, count in store.rows(
            "SELECT step, reason, generator, count(*) FROM failures GROUP BY ALL ORDER BY ALL"
        )
    ]
    for name in ("llm", "captioner"):
        rows.append(_row(name, None, store.meta(name) or "none yet: run genfilt extract"))
    current = store.rows("SELECT rule, sigma, floor, embedder FROM filters WHERE current")
    detail = "none yet: run genfilt filter"
    if current:
        rule, sigma, floor, embedder = current[0]
        detail = f"rule {rule}, sigma {sigma:g}, floor {floor:g}, embedder {embedder}"
    rows.append(_row("filter", None, detail))
    rows += [_row("relevant pairs", None, text) for text in _populations(store)]
    rows += [_row("forecast", None, line) for line in forecast_lines(stored_forecast(store))]
    return [*rows, *(_row("warning", None, text) for text in warnings(store))]


def _populations(store: Store) -> list[str]:
    """Return what the current fit says of the share of relevant pairs, none without a fit."""
    audits = store.rows(
        "SELECT audit FROM filters JOIN filter_fits USING (filter_id) "
        "WHERE current AND audit IS NOT NULL"
    )
    return [str(json.loads(audit)["population"]) for (audit,) in audits]


def _generator_quality(store: Store) -> list[Row]:
    rows = [
        _row(
            f"titles with {each.field}",
            each.grounded,
            f"dropped, since the title does not hold it: {each.dropped:,}; null: {each.null:,}",
        )
        for each in grounding(store)
    ]
    found = abstentions(store)
    detail = f"of {found.captions:,} captions of the embedded captioner"
    return [*rows, _row("captions without a kind of product", found.without_kind, detail)]


def _corrections(store: Store) -> list[Row]:
    counts = count_corrections(store)
    return [
        _row("query-product corrections", counts.pairs, "of products of all splits, by id"),
        _row("query-product corrections, train", counts.train, "of train products"),
        _row(
            "query-product corrections, new",
            counts.new,
            "of train products, without a click, label or review of any split",
        ),
        _row("image-title corrections (distinct texts)", counts.title_pairs, "of train products"),
    ]


def warnings(store: Store) -> list[str]:
    """Return what makes the results worse than they could be, a sentence each."""
    advice = abstention_advice(store)
    return [
        *_unfitted(store),
        *_grown(store),
        *unreadable_titles(store),
        *([advice] if advice else []),
    ]


def _unfitted(store: Store) -> list[str]:
    if store.meta("migrated_from") is None:
        return []
    rules = store.rows(
        "SELECT rule FROM filters ANTI JOIN filter_fits USING (filter_id) WHERE current"
    )
    return [
        f"the fit of the filter was dropped when the database was migrated from an older version: "
        f"run genfilt filter --rule {rule}"
        for (rule,) in rules
    ]


def _grown(store: Store) -> list[str]:
    found = store.rows(
        "SELECT generator, products, now FROM generator_states, "
        "     (SELECT count(*) AS now FROM products WHERE split = 'train') "
        "WHERE generator IN (SELECT value FROM meta WHERE name IN ('llm', 'captioner')) "
        "AND now >= ? * products ORDER BY generator",
        [GROWN],
    )
    return [
        f"{generator} was fitted to {products:,} train products and there are {now:,}: "
        f"run genfilt extract --refit"
        for generator, products, now in found
    ]


def _row(what: str, count: int | None, detail: str = "") -> Row:
    return {"what": what, "count": count, "detail": detail}
