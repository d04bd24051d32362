"""Filtering: every pair whose score reaches the floor becomes a candidate, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.features.texts import TEMPLATE, number_features
from genfilt.filter.candidate_writer import CandidateFile, forget_beyond, write_candidates
from genfilt.filter.filter_inputs import inputs_key, is_filtered, remember_inputs
from genfilt.filter.join_work import CERTAIN, JoinWork, block_runner, join_work
from genfilt.filter.joining import Watermark
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.filter.rules import FilterSettings, Rule, announce, choose_rule, fit_rule
from genfilt.store.numbering import forget_candidates
from genfilt.store.store import Store, now

__all__ = ["FilterCounts", "FilterSettings", "filter_pairs"]

TITLE_LIMIT = "max-title-pairs"
NO_CAPTIONER = "none"  # in filters.captioner where no picture was described

# Without the texts that belong to no product and stay for `features.f_title` and `f_image`.
CANDIDATES = "SELECT count(*) FROM qp_candidates SEMI JOIN product_no USING (f)"
# The candidates whose text no product has now, which take no place among a query's best.
WITHOUT_PRODUCT = """
SELECT count(*) || ' ' || coalesce(bit_xor(hash(q, f)), 0)
FROM qp_candidates SEMI JOIN query_keys USING (q) ANTI JOIN product_no USING (f)
"""
LEFT_ASIDE = "candidates without a product"  # in meta: the number of the filter and their key
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
    that came since are joined; the result is that of a whole run. Where nothing changed at all
    nothing is fitted or joined. The embedder's engine computes the blocks of the joins, which a
    killed run keeps.

    Raises:
        UserError: no title was read, or more than `settings.max_pairs` pairs reach the floor; the
            earlier filter stays as it was.
    """
    generators = _generators(store)
    number_features(store)
    choice = choose_rule(store, settings)
    announce(choice, settings)
    key = inputs_key(store, settings, embedder.name, generators)
    if is_filtered(store, key):
        say("nothing changed since the last filter: its corrections stay")
        return _counts(store)
    corpus = load_corpus(store, embedder)
    rule = fit_rule(store, corpus, embedder, choice, settings.base_rate)
    sigma = rule.sigma_for(TARGET_PRECISION) if settings.sigma is None else settings.sigma
    settings = replace(settings, rule=rule.name, sigma=sigma)
    since = _same_filter(store, settings, embedder, generators) if rule.incremental else None
    start = since or Watermark(0, -1, -1)
    _check_expected(rule, settings)
    with join_work(store, block_runner(embedder.engine)) as work:
        found = _find(store, settings, rule, start, work)
        with store.transaction():
            start = since or _new_filter(store, settings, embedder, generators, rule)
            _replace_candidates(store, found, start.filter_id, settings.max_per_query)
            store.connection.execute(
                "UPDATE filters SET joined_q = ?, joined_f = ? WHERE filter_id = ?",
                [max(corpus.last_q, start.q), max(corpus.last_f, start.f), start.filter_id],
            )
            remember_inputs(store, start.filter_id, key)
    joined = (corpus.queries.numbers > start.q).sum(), (corpus.features.f > start.f).sum()
    return _counts(store, *map(int, joined))


def _counts(store: Store, queries: int = 0, features: int = 0) -> FilterCounts:
    """Return what the current filter stores, and how many texts were joined just now."""
    current = "SELECT filter_id, rule, sigma FROM filters WHERE current"
    filter_id, rule, sigma = store.rows(current)[0]
    corrections, of_train, new, alone = store.rows(CORRECTIONS)[0]
    return FilterCounts(
        filter_id=filter_id,
        rule=rule,
        sigma=sigma,
        qp_candidates=int(store.scalar(CANDIDATES)),
        it_candidates=int(store.scalar("SELECT count(*) FROM it_candidates")),
        corrections=corrections,
        train_corrections=of_train,
        new_corrections=new,
        title_alone=alone,
        joined_queries=queries,
        joined_features=features,
    )


def _replace_candidates(
    store: Store, found: list[CandidateFile], filter_id: int, most: int | None
) -> None:
    """Forget candidates of what is gone, insert the found ones, and keep the best of each query."""
    forget_candidates(store)
    for file in found:
        file.insert(store, filter_id, most if file.table == "qp_candidates" else None)
    if most is not None:
        forget_beyond(store, most)
    store.set_meta(LEFT_ASIDE, f"{filter_id} {store.scalar(WITHOUT_PRODUCT)}")


def _check_expected(rule: Rule, settings: FilterSettings) -> None:
    """Say how many candidates are expected, and refuse before the join where they are too many."""
    expected = rule.expected_candidates(settings.lowest)
    if expected is None:
        return
    say(f"about {expected:,} unknown pairs of train products are expected to reach the floor")
    if settings.max_per_query is None and expected > CERTAIN * settings.max_pairs:
        raise UserError(
            f"About {expected:,} pairs are expected to reach the floor, and --max-pairs allows "
            f"{settings.max_pairs:,}; raise --sigma or --floor, or allow more."
        )


def _find(
    store: Store, settings: FilterSettings, rule: Rule, since: Watermark, work: JoinWork
) -> list[CandidateFile]:
    """Write the candidates of both kinds that were not joined before to files."""
    stored = {"qp_candidates": 0, "it_candidates": 0}
    if since.f >= 0:
        stored = {name: int(store.scalar(f"SELECT count(*) FROM {name}")) for name in stored}
    limit = None if settings.max_per_query else settings.max_pairs
    joins = replace(work, limit=limit)
    titles = replace(work, limit=settings.max_title_pairs, option=TITLE_LIMIT)
    kinds = {
        "qp_candidates": rule.query_candidates(settings.lowest, since, joins),
        "it_candidates": rule.title_candidates(settings.image_title_sigma, since, titles),
    }
    most = {"qp_candidates": limit, "it_candidates": settings.max_title_pairs}
    options = {"qp_candidates": "--max-pairs", "it_candidates": f"--{TITLE_LIMIT}"}
    found = []
    for name, batches in kinds.items():
        allowed = None if (highest := most[name]) is None else highest - stored[name]
        path = work.folder / f"{name}.parquet"
        found.append(write_candidates(name, path, batches, allowed, options[name]))
    return found


def _generators(store: Store) -> tuple[str, str]:
    llm, captioner = store.meta("llm"), store.meta("captioner")
    if llm is None or not store.scalar("SELECT count(*) FROM products"):
        raise UserError(f"{store.path} has no titles that were read; run genfilt extract.")
    return llm, captioner or NO_CAPTIONER


def _same_filter(
    store: Store, settings: FilterSettings, embedder: Embedder, generators: tuple[str, str]
) -> Watermark | None:
    """Return the current filter's watermark where it had these settings.

    None, too, where a query lost one of its best candidates: what came next was not stored.
    """
    found = store.rows(
        "SELECT filter_id, joined_q, joined_f FROM filters WHERE current AND rule = ? "
        "AND sigma = ? AND image_title_sigma = ? AND floor = ? AND embedder = ? AND llm = ? "
        "AND captioner = ? AND template = ? AND max_per_query IS NOT DISTINCT FROM ?",
        [
            *(settings.rule, settings.sigma, settings.image_title_sigma, settings.lowest),
            *(embedder.name, *generators, TEMPLATE, settings.max_per_query),
        ],
    )
    if not found:
        return None
    aside = f"{found[0][0]} {store.scalar(WITHOUT_PRODUCT)}"
    if settings.max_per_query is not None and aside != store.meta(LEFT_ASIDE):
        return None
    return Watermark(*found[0])


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
        "INSERT INTO filters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, true, -1, -1)",
        [
            *(filter_id, rule.name, settings.sigma, settings.image_title_sigma),
            *(settings.lowest, settings.base_rate, settings.max_per_query, embedder.name),
            *(*generators, TEMPLATE, now()),
        ],
    )
    record = rule.record
    fit = (None, None, None) if record is None else (record.fit, record.audit, record.reliability)
    store.connection.execute(
        "INSERT INTO filter_fits VALUES (?, ?, ?, ?, ?)", [filter_id, *fit, now()]
    )
    return Watermark(filter_id, -1, -1)
