"""Filtering: every pair whose score reaches the floor becomes a candidate, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.features.texts import TEMPLATE, number_features
from genfilt.filter.joining import Watermark
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.filter.rules import FilterSettings, Rule, announce, choose_rule, fit_rule
from genfilt.store.numbering import forget_candidates
from genfilt.store.store import Store, now

__all__ = ["FilterCounts", "FilterSettings", "filter_pairs"]

ROWS_PER_WRITE = 1 << 18
NO_CAPTIONER = "none"  # in filters.captioner where no picture was described

# Without the texts that belong to no product and stay for `features.f_title` and `f_image`.
CANDIDATES = "SELECT count(*) FROM qp_candidates SEMI JOIN product_no USING (f)"
CORRECTIONS = """
SELECT count(*), count(*) FILTER (split = 'train'),
       count(*) FILTER (split = 'train' AND held_out_verdict IS NULL),
       count(*) FILTER (q_i IS NULL)
FROM query_product_corrections
"""


@dataclass(frozen=True)
class FilterCounts:
    """What a filter stored and what it joined to find it."""

    filter_id: int
    rule: str
    sigma: float
    qp_candidates: int
    it_candidates: int
    corrections: int  # by id, of every split
    train_corrections: int  # of train products: those that training can use
    new_corrections: int  # of train products, without a verdict of any split
    title_alone: int  # of the corrections, by title without a caption
    joined_queries: int  # queries that were not joined before
    joined_features: int  # triples of texts that were not joined before


def filter_pairs(store: Store, settings: FilterSettings, embedder: Embedder) -> FilterCounts:
    """Store the candidates of both kinds and make them the current filter, in one transaction.

    Where the current filter has the same settings and generators, only queries and feature texts
    that came since are joined; the result is that of a whole run.

    Raises:
        UserError: no title was read, or more than `settings.max_pairs` pairs reach the floor; the
            earlier filter stays as it was.
    """
    generators = _generators(store)
    number_features(store)
    choice = choose_rule(store, settings)
    announce(choice, settings.sigma)
    corpus = load_corpus(store, embedder)
    rule = fit_rule(store, corpus, embedder, choice, settings.base_rate)
    sigma = rule.sigma_for(TARGET_PRECISION) if settings.sigma is None else settings.sigma
    settings = replace(settings, rule=rule.name, sigma=sigma)
    with store.transaction():
        since = None
        if rule.incremental:
            since = _same_filter(store, settings, embedder, generators)
        since = since or _new_filter(store, settings, embedder, generators, rule)
        forget_candidates(store)
        writer = _Writer(store, since.filter_id, settings.max_pairs)
        writer.write("qp_candidates", rule.query_candidates(settings.lowest, since))
        writer.write("it_candidates", rule.title_candidates(settings.image_title_sigma, since))
        store.connection.execute(
            "UPDATE filters SET joined_q = ?, joined_f = ? WHERE filter_id = ?",
            [max(corpus.last_q, since.q), max(corpus.last_f, since.f), since.filter_id],
        )
    corrections, of_train, new, alone = store.rows(CORRECTIONS)[0]
    return FilterCounts(
        filter_id=since.filter_id,
        rule=rule.name,
        sigma=sigma,
        qp_candidates=int(store.scalar(CANDIDATES)),
        it_candidates=int(store.scalar("SELECT count(*) FROM it_candidates")),
        corrections=corrections,
        train_corrections=of_train,
        new_corrections=new,
        title_alone=alone,
        joined_queries=int((corpus.queries.numbers > since.q).sum()),
        joined_features=int((corpus.features.f > since.f).sum()),
    )


def _generators(store: Store) -> tuple[str, str]:
    llm, captioner = store.meta("llm"), store.meta("captioner")
    if llm is None or not store.scalar("SELECT count(*) FROM products"):
        raise UserError(f"{store.path} has no titles that were read; run genfilt extract.")
    return llm, captioner or NO_CAPTIONER


def _same_filter(
    store: Store, settings: FilterSettings, embedder: Embedder, generators: tuple[str, str]
) -> Watermark | None:
    """Return the current filter's watermark where it had these settings."""
    found = store.rows(
        "SELECT filter_id, joined_q, joined_f FROM filters WHERE current AND rule = ? "
        "AND sigma = ? AND image_title_sigma = ? AND floor = ? AND embedder = ? AND llm = ? "
        "AND captioner = ? AND template = ?",
        [
            *(settings.rule, settings.sigma, settings.image_title_sigma, settings.lowest),
            *(embedder.name, *generators, TEMPLATE),
        ],
    )
    return Watermark(*found[0]) if found else None


def _new_filter(
    store: Store,
    settings: FilterSettings,
    embedder: Embedder,
    generators: tuple[str, str],
    rule: Rule,
) -> Watermark:
    """Start a filter that has joined nothing, in the place of the current one."""
    filter_id = int(store.scalar("SELECT coalesce(max(filter_id), 0) + 1 FROM filters"))
    store.connection.execute("UPDATE filters SET current = false WHERE current")
    store.connection.execute("DELETE FROM qp_candidates")
    store.connection.execute("DELETE FROM it_candidates")
    store.connection.execute(
        "INSERT INTO filters VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, true, -1, -1)",
        [
            *(filter_id, rule.name, settings.sigma, settings.image_title_sigma),
            *(settings.lowest, settings.base_rate, embedder.name, *generators, TEMPLATE, now()),
        ],
    )
    record = rule.record
    fit = (None, None, None) if record is None else (record.fit, record.audit, record.reliability)
    store.connection.execute(
        "INSERT INTO filter_fits VALUES (?, ?, ?, ?, ?)", [filter_id, *fit, now()]
    )
    return Watermark(filter_id, -1, -1)


class _Writer:
    """Writes candidates to the store in large columnar batches, up to a limit."""

    def __init__(self, store: Store, filter_id: int, max_pairs: int) -> None:
        self.store, self.filter_id, self.max_pairs = store, filter_id, max_pairs
        self.written = sum(
            int(store.scalar(f"SELECT count(*) FROM {table}"))
            for table in ("qp_candidates", "it_candidates")
        )

    def write(self, table: str, batches: Iterator[pa.Table]) -> None:
        waiting: list[pa.Table] = []
        for batch in batches:
            waiting.append(batch)
            self.written += batch.num_rows
            if self.written > self.max_pairs:
                raise UserError(
                    f"More than {self.max_pairs:,} pairs reach the floor; raise --sigma or "
                    f"--floor, or allow more with --max-pairs."
                )
            if sum(part.num_rows for part in waiting) >= ROWS_PER_WRITE:
                self._flush(table, waiting)
                waiting = []
        self._flush(table, waiting)

    def _flush(self, table: str, waiting: list[pa.Table]) -> None:
        if waiting:
            rows = pa.concat_tables(waiting)
            number = pa.array(np.full(rows.num_rows, self.filter_id, dtype=np.int32))
            self.store.insert(table, rows.append_column("filter_id", number))
