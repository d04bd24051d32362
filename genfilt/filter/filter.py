"""Step 4: every pair whose score passes the floor becomes a candidate, by the paper's rule.

GenFilt scores a query and a product by the mean of q.i and q.t, and a picture and a title by i.t
(arXiv 2311.14742, section 4.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus, load_corpus
from genfilt.features.embed import Embedder, Matrix
from genfilt.features.texts import TEMPLATE, number_features
from genfilt.join.threshold_join import threshold_join
from genfilt.store.numbering import forget_candidates
from genfilt.store.store import Store, now

if TYPE_CHECKING:
    from genfilt.filter.calibrated.candidates import Scorer

RULES = ("paper", "calibrated")
MAX_PAIRS = 100_000_000
IMAGE_TITLE_SIGMA = 0.9  # the paper's, for i.t under a rule whose sigma is no cosine
AUTO_PRECISION = 0.95
PAIRS_AT_A_TIME = 65_536  # bounds the vectors gathered to score survivors
ROWS_PER_WRITE = 1 << 18

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FilterSettings:
    """What decides a filter's result, beside the data.

    Attributes:
        sigma: the threshold that makes a candidate a correction: a cosine in [-1, 1], or under the
            calibrated rule a probability; None for the one that audit proposes.
        floor: the lowest score that is stored; None for sigma.
        rule: "paper" or "calibrated".
        max_pairs: stop before more candidates than this are stored.
        base_rate: share of relevant pairs, where it is known, for the calibrated rule.
    """

    sigma: float | None = 0.9
    floor: float | None = None
    rule: str = "paper"
    max_pairs: int = MAX_PAIRS
    base_rate: float | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(f"--rule {self.rule} is unknown; give one of {', '.join(RULES)}.")
        if self.base_rate is not None and not 0 < self.base_rate < 1:
            raise UsageError(f"--base-rate {self.base_rate} is no share; give 0.001, say.")
        if self.sigma is None:
            return
        if self.rule == "calibrated" and not 0 < self.sigma < 1:
            raise UsageError(f"--sigma {self.sigma} is no probability; give 0.9, say, or auto.")
        if not -1 <= self.sigma <= 1:
            raise UsageError(f"--sigma {self.sigma} is no cosine; give a number from -1 to 1.")
        if self.lowest > self.sigma:
            raise UsageError(
                f"--floor {self.floor} is above --sigma {self.sigma}; give one below it."
            )

    @property
    def lowest(self) -> float:
        """The floor that holds once sigma is known."""
        assert self.sigma is not None
        return self.sigma if self.floor is None else self.floor


@dataclass(frozen=True)
class FilterCounts:
    """What a filter stored and what it joined to find it."""

    filter_id: int
    qp_candidates: int
    it_candidates: int
    joined_queries: int  # queries that were not joined before
    joined_features: int  # pairs of feature texts that were not joined before


@dataclass(frozen=True)
class Watermark:
    """How far a filter has joined: all q and f up to these."""

    filter_id: int
    q: int
    f: int


def filter_pairs(store: Store, settings: FilterSettings, embedder: Embedder) -> FilterCounts:
    """Store the candidates of both kinds and make them the current filter, in one transaction.

    Where the current filter has the same settings and generators, only queries and feature texts
    that came since are joined; the result is that of a whole run.

    Raises:
        UserError: no product has a caption, or more than `settings.max_pairs` pass the floor;
            the earlier filter stays as it was.
    """
    generators = _generators(store)
    number_features(store)
    corpus = load_corpus(store, embedder)
    scorer: Scorer | None = None
    if settings.rule == "calibrated":
        settings, scorer = _calibrated(store, corpus, settings, embedder)
    elif settings.sigma is None:
        settings = replace(settings, sigma=_paper_sigma(store, corpus))
    with store.transaction():
        # A calibrated fit reads the whole log, so it joins anew.
        since = None if scorer else _same_filter(store, settings, embedder, generators)
        since = since or _new_filter(store, settings, embedder, generators, scorer)
        forget_candidates(store)
        writer = _Writer(store, since.filter_id, settings.max_pairs)
        if scorer is None:
            writer.write("qp_candidates", _query_candidates(corpus, settings.lowest, since))
            writer.write("it_candidates", _title_candidates(corpus, settings.lowest, since))
        else:
            writer.write("qp_candidates", scorer.tables(settings.lowest))
            writer.write("it_candidates", _title_candidates(corpus, IMAGE_TITLE_SIGMA, since))
        store.connection.execute(
            "UPDATE filters SET joined_q = ?, joined_f = ? WHERE filter_id = ?",
            [max(corpus.last_q, since.q), max(corpus.last_f, since.f), since.filter_id],
        )
    return FilterCounts(
        since.filter_id,
        int(store.scalar("SELECT count(*) FROM qp_candidates")),
        int(store.scalar("SELECT count(*) FROM it_candidates")),
        int((corpus.queries.numbers > since.q).sum()),
        int((corpus.features.f > since.f).sum()),
    )


def _generators(store: Store) -> tuple[str, str]:
    llm, captioner = store.meta("llm"), store.meta("captioner")
    if (
        llm is None
        or captioner is None
        or not store.scalar("SELECT count(*) FROM current_captions")
    ):
        raise UserError(
            f"{store.path} has no captions to compare; run genfilt extract, "
            f"and genfilt status if it found no pictures."
        )
    return llm, captioner


def _calibrated(
    store: Store, corpus: Corpus, settings: FilterSettings, embedder: Embedder
) -> tuple[FilterSettings, Scorer]:
    """Fit the calibrated rule, and choose sigma where none is given."""
    from genfilt.filter.calibrated.calibration_data import load_calibration_data
    from genfilt.filter.calibrated.candidates import Scorer, fit_rule
    from genfilt.filter.calibrated.estimated_precision import suggested_sigma

    data = load_calibration_data(store, corpus, embedder)
    fit = fit_rule(data, base_rate=settings.base_rate)
    if settings.sigma is None:
        settings = replace(settings, sigma=suggested_sigma(fit, AUTO_PRECISION))
    return settings, Scorer(fit.calibration, data, fit.unseen)


def _paper_sigma(store: Store, corpus: Corpus) -> float:
    """Return the sigma that audit proposes for the paper's rule."""
    from genfilt.filter.audit import audit

    sigma = audit(store, corpus, target_precision=AUTO_PRECISION)["best"]["sigma"]
    if sigma is None:
        raise UserError(
            f"No sigma of the paper's rule reaches a precision of {AUTO_PRECISION} on the train "
            f"labels; give --sigma yourself, or --rule calibrated."
        )
    return float(sigma)


def _same_filter(
    store: Store, settings: FilterSettings, embedder: Embedder, generators: tuple[str, str]
) -> Watermark | None:
    """Return the current filter's watermark where it had these settings."""
    found = store.rows(
        "SELECT filter_id, joined_q, joined_f FROM filters WHERE current AND rule = ? "
        "AND sigma = ? AND floor = ? AND embedder = ? AND llm = ? AND captioner = ? "
        "AND template = ?",
        [settings.rule, settings.sigma, settings.lowest, embedder.name, *generators, TEMPLATE],
    )
    return Watermark(*found[0]) if found else None


def _new_filter(
    store: Store,
    settings: FilterSettings,
    embedder: Embedder,
    generators: tuple[str, str],
    scorer: Scorer | None,
) -> Watermark:
    """Start a filter that has joined nothing, in the place of the current one."""
    filter_id = int(store.scalar("SELECT coalesce(max(filter_id), 0) + 1 FROM filters"))
    store.connection.execute("UPDATE filters SET current = false WHERE current")
    store.connection.execute("DELETE FROM qp_candidates")
    store.connection.execute("DELETE FROM it_candidates")
    store.connection.execute(
        "INSERT INTO filters VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, true, -1, -1)",
        [
            *(filter_id, settings.rule, settings.sigma),
            *(IMAGE_TITLE_SIGMA if scorer else settings.sigma, settings.lowest),
            *(settings.base_rate, embedder.name, *generators, TEMPLATE, now()),
        ],
    )
    store.connection.execute(
        "INSERT INTO filter_fits VALUES (?, ?, NULL, NULL, ?)",
        [filter_id, scorer and scorer.calibration.to_json(), now()],
    )
    return Watermark(filter_id, -1, -1)


def _query_candidates(corpus: Corpus, floor: float, since: Watermark) -> Iterator[pa.Table]:
    """Yield the (q, f) whose mean of q.i and q.t reaches the floor.

    With m = (i + t) / 2 the mean is the one inner product q.m, and |m|^2 = (1 + i.t) / 2.
    """
    features = corpus.features
    images, titles = corpus.image_rows(features), corpus.title_rows(features)
    fused = (corpus.i[images] + corpus.t[titles]) * np.float32(0.5)  # (F, D)
    if floor > 0:
        i_t = 2 * np.einsum("nd,nd->n", fused, fused, dtype=np.float64) - 1
        possible = i_t >= 2 * floor**2 - 1 - 1e-6
    else:
        possible = np.ones(len(fused), dtype=bool)
    new_q, new_f = corpus.queries.numbers > since.q, features.f > since.f
    blocks = ((new_q, possible), (~new_q, possible & new_f))
    for left, right in blocks:
        for query, feature, score in _join(corpus.q, left, fused, right, floor):
            q_i = _inner(corpus.q, query, corpus.i, images[feature])
            q_t = _inner(corpus.q, query, corpus.t, titles[feature])
            yield pa.table(
                {
                    "q": corpus.queries.numbers[query].astype(np.int32),
                    "f": features.f[feature].astype(np.int32),
                    "q_i": q_i,
                    "q_t": q_t,
                    "cosine": (q_i + q_t) / 2,
                    "score": score,
                    "vetoed": np.zeros(len(score), dtype=bool),
                }
            )


def _title_candidates(corpus: Corpus, floor: float, since: Watermark) -> Iterator[pa.Table]:
    """Yield the (f_image, f_title) whose i.t reaches the floor."""
    new_i, new_t = corpus.images.numbers > since.f, corpus.titles.numbers > since.f
    for left, right in ((new_i, np.ones_like(new_t)), (~new_i, new_t)):
        for image, title, score in _join(corpus.i, left, corpus.t, right, floor):
            yield pa.table(
                {
                    "f_image": corpus.images.numbers[image].astype(np.int32),
                    "f_title": corpus.titles.numbers[title].astype(np.int32),
                    "i_t": score,
                    "score": score,
                }
            )


def _join(
    left: Matrix,
    of_left: npt.NDArray[np.bool_],
    right: Matrix,
    of_right: npt.NDArray[np.bool_],
    floor: float,
) -> Iterator[tuple[Rows, Rows, Scores]]:
    """Join the chosen rows of both sides; yield rows of the whole matrices."""
    left_rows, right_rows = np.flatnonzero(of_left), np.flatnonzero(of_right)
    if not len(left_rows) or not len(right_rows):
        return
    for a, b, score in threshold_join(left[left_rows], right[right_rows], floor):
        yield left_rows[a], right_rows[b], score


def _inner(left: Matrix, a: Rows, right: Matrix, b: Rows) -> Scores:
    """Return left[a] . right[b] of each pair in float64."""
    scores = np.empty(len(a), dtype=np.float64)
    for start in range(0, len(a), PAIRS_AT_A_TIME):
        part = slice(start, start + PAIRS_AT_A_TIME)
        scores[part] = np.einsum(
            "nd,nd->n", left[a[part]].astype(np.float64), right[b[part]].astype(np.float64)
        )
    return scores


class _Writer:
    """Hands candidates to the store in large columnar batches, up to a limit."""

    def __init__(self, store: Store, filter_id: int, max_pairs: int) -> None:
        self.store, self.filter_id, self.max_pairs = store, filter_id, max_pairs
        self.written = sum(
            int(store.scalar(f"SELECT count(*) FROM {table}"))
            for table in ("qp_candidates", "it_candidates")
        )

    def write(self, table: str, batches: Iterator[pa.Table]) -> None:
        held: list[pa.Table] = []
        for batch in batches:
            held.append(batch)
            self.written += batch.num_rows
            if self.written > self.max_pairs:
                raise UserError(
                    f"More than {self.max_pairs:,} pairs pass the floor; raise --sigma or --floor, "
                    f"or allow more with --max-pairs."
                )
            if sum(part.num_rows for part in held) >= ROWS_PER_WRITE:
                self._flush(table, held)
                held = []
        self._flush(table, held)

    def _flush(self, table: str, held: list[pa.Table]) -> None:
        if held:
            rows = pa.concat_tables(held)
            number = pa.array(np.full(rows.num_rows, self.filter_id, dtype=np.int32))
            self.store.insert(table, rows.append_column("filter_id", number))
