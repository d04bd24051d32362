"""The calibrated rule: fitted by `genfilt filter`, loaded from the stored fit by other commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Floats, Rows
from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder
from genfilt.filter.audit import Audit, audit_judged_pairs
from genfilt.filter.calibrated.calibration_data import (
    CalibrationData,
    Catalogue,
    fitted_rows,
    load_catalogue,
)
from genfilt.filter.calibrated.candidates import ScoredProducts
from genfilt.filter.calibrated.database_input import (
    fitted_for,
    read_categories,
    read_train_log,
)
from genfilt.filter.calibrated.design import Training
from genfilt.filter.calibrated.fit import Fit, fit_calibration
from genfilt.filter.calibrated.fit_record import (
    CALIBRATED,
    FitRecord,
    audit_of,
    made_for,
    record_of,
    share_sentence,
    stored_parts,
    stored_words,
)
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import MIN_CANDIDATE_PROBABILITY
from genfilt.filter.calibrated.sampling import sample_pairs
from genfilt.filter.join_work import JoinWork, passing_work
from genfilt.filter.joining import Watermark, title_candidates
from genfilt.filter.precision_curve import (
    GRID,
    TARGET_PRECISION,
    TOLERANCE,
    described,
    proposed_sigma,
    surest_sigma,
)
from genfilt.store.store import Store


class CalibratedRule:
    """Scores a pair by its estimated probability of relevance.

    Products with a caption and products with a title alone have a calibration each.

    Args:
        store: the labels and reviews of `audit`.
        parts: products with their fit; they are disjoint and together all.
        record: the stored fit.
    """

    name = CALIBRATED
    incremental = False  # a fit reads the whole log, so a filter joins anew

    def __init__(self, store: Store, parts: list[ScoredProducts], record: FitRecord) -> None:
        self.store, self.parts, self.record = store, parts, record

    def sigma_for(self, precision: float) -> float:
        """Return the sigma with the largest recall whose precision on train is surely this.

        Surely is by the low end of the interval; where none reaches it, by the estimate, with a
        remark.

        Raises:
            UserError: no estimate reaches the precision; names the sigma that comes nearest.
        """
        curve = audit_of(self.record, precision).curve
        found, sure = proposed_sigma(curve, precision)
        if found.sigma is None:
            best = surest_sigma(curve)
            raise UserError(
                f"No sigma reaches an estimated precision of {precision:g} on train"
                + ("" if best.sigma is None else f" (the best is {described(best)})")
                + "; give --sigma yourself, or label or review pairs (genfilt audit --sample 50)."
            )
        if not sure:
            say(
                f"no sigma has a precision of {precision:g} at the low end of its interval; took "
                f"the estimate's: {described(found)}"
            )
        return found.sigma

    def query_candidates(
        self, floor: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield all (q, f) whose probability reaches the floor; `since` changes nothing."""
        for part in self.parts:
            yield from part.tables(floor, work)

    def expected_candidates(self, floor: float) -> int | None:
        """Return how many unknown pairs of train products the fit expects from a floor on."""
        at = int(np.searchsorted(GRID, floor + TOLERANCE, "right")) - 1
        pairs = audit_of(self.record, TARGET_PRECISION).pairs
        return pairs[at] if 0 <= at < len(pairs) else None

    def scored_pairs(
        self, queries: Rows, texts: Rows, floor: float
    ) -> Iterator[tuple[Rows, Rows, Floats]]:
        """Yield q, f and probability of all pairs from the floor on that are not vetoed."""
        whole = self.parts[0].catalogue.corpus
        rows = np.flatnonzero(np.isin(whole.queries.numbers, queries))
        products = np.flatnonzero(np.isin(whole.features.f, texts))
        with passing_work() as work:
            for part in self.parts:
                for scorer, q, f, score, vetoed in part.only(products).candidates(
                    floor, work, rows
                ):
                    corpus, kept = scorer.data.corpus, ~vetoed
                    numbers = corpus.queries.numbers[q[kept]], corpus.features.f[f[kept]]
                    yield *numbers, score[kept]

    def sampling_floors(self, sigma: float) -> tuple[float, ...]:
        """Return the probability from which on a pair counts as a candidate under any sigma."""
        return (min(MIN_CANDIDATE_PROBABILITY, sigma),)

    def title_candidates(
        self, sigma: float, since: Watermark, work: JoinWork
    ) -> Iterator[pa.Table]:
        """Yield the (f_image, f_title) whose i.t, a cosine, reaches sigma."""
        return title_candidates(self.parts[0].catalogue.corpus, sigma, since, work)

    def scores(self, q: Rows, f: Rows) -> Floats:
        """Return the probability of pairs of numbers, (K,); -inf when vetoed or without a text."""
        corpus = self.parts[0].catalogue.corpus
        scores = np.full(len(q), -np.inf)
        known = np.isin(q, corpus.queries.numbers) & np.isin(f, corpus.features.f)
        query = corpus.queries.rows_of(np.where(known, q, corpus.queries.numbers[:1]))
        feature = np.searchsorted(corpus.features.f, np.where(known, f, corpus.features.f[:1]))
        for part in self.parts:
            mine = np.flatnonzero(known & np.isin(feature, part.rows))
            score, vetoed = part.scores(query[mine], feature[mine])
            scores[mine] = np.where(vetoed, -np.inf, score)
        return scores

    def audit(self, split: str, target_precision: float, base_rate: float | None = None) -> Audit:
        """Return the stored audit of the train pairs, or measure on the judged pairs of a split."""
        if split != "train":
            return audit_judged_pairs(self.store, self, split, target_precision, base_rate)
        check_no_base_rate(base_rate)
        return audit_of(self.record, target_precision)


def change_since(store: Store, record: FitRecord) -> str | None:
    """Return what changed since the stored fit, in words; None where it is up to date."""
    fitted = made_for(record)
    now = fitted_for(store, fitted["embedder"], read_train_log(store))
    changed = [name for name, value in now.items() if fitted.get(name) != value]
    if not changed:
        return None
    names = {"data": "train clicks, labels, reviews or products", "template": "feature texts"}
    return " and ".join(names.get(name, name) for name in changed)


def check_no_base_rate(base_rate: float | None) -> None:
    """Raise a UsageError where a base rate is given for the stored audit of a fit."""
    if base_rate is not None:
        raise UsageError(
            "--base-rate is part of the calibrated rule's fit and cannot change in audit; "
            f"run genfilt filter --rule calibrated --base-rate {base_rate:g}."
        )


def fit_rule(
    data: CalibrationData, *, base_rate: float | None = None, attributes: bool = True
) -> Fit:
    """Fit the calibrated rule on the train log.

    Raises:
        UserError: there are no train products, or too few pairs are known to be relevant.
    """
    if not len(data.train):
        raise UserError(
            "No train product has a text to calibrate with; run genfilt status to see why."
        )
    sample = sample_pairs(data.queries, data.products, data.log, data.train)
    training = Training(
        data.queries, data.products, data.values, *sample, data.log, data.made_for, base_rate
    )
    return fit_calibration(training, attributes=attributes)


def fit_calibrated(
    store: Store, corpus: Corpus, embedder: Embedder, base_rate: float | None
) -> CalibratedRule:
    """Fit the rule on the train log of a database.

    Titles alone are fitted on all train products with their pictures left out, so that their
    probabilities are those of pairs judged without a picture.
    """
    catalogue = load_catalogue(store, corpus, embedder)
    rows = fitted_rows(store, corpus)
    data = catalogue.part(rows)
    parts = {kind: _part(data, kind) for kind, _ in _kinds(catalogue)}
    fits = [fit_rule(part, base_rate=base_rate) for part in parts.values()]
    names = read_categories(store, data.corpus)
    measured = _measured(catalogue, data, dict(zip(parts, fits, strict=True)))
    record = record_of(measured, data.log, corpus.queries.numbers, names, catalogue.words)
    say(share_sentence(fits[0].calibration))
    scored = _scored(catalogue, [(fit.calibration, fit.unseen, fit.offsets) for fit in fits])
    return CalibratedRule(store, scored, record)


def load_calibrated(
    store: Store, corpus: Corpus, embedder: Embedder, record: FitRecord
) -> CalibratedRule:
    """Return the rule of the stored fit."""
    catalogue = load_catalogue(store, corpus, embedder, stored_words(record))
    stored = stored_parts(record, corpus.queries.numbers)
    fits = [(each.calibration, each.unseen, each.offsets) for each in stored]
    return CalibratedRule(store, _scored(catalogue, fits), record)


def _scored(
    catalogue: Catalogue, fits: list[tuple[Calibration, Floats, Floats]]
) -> list[ScoredProducts]:
    """Return the products with a picture, and those by title alone, with their fits."""
    present = _kinds(catalogue)
    if len(present) != len(fits):
        raise UserError("Products with and without pictures changed; run genfilt filter again.")
    return [
        ScoredProducts(catalogue, fit, rows, kind)
        for fit, (kind, rows) in zip(fits, present, strict=True)
    ]


def _measured(catalogue: Catalogue, data: CalibrationData, fits: dict[bool, Fit]) -> list[Fit]:
    """Return the fits, by pictured or not, with the pairs of the products that each scores.

    They stand for all train pairs; a kind of product of which none was read by the other kind.
    """
    pictured = data.corpus.features.pictured
    its = {kind: fit.only(pictured[fit.pairs.f] == kind) for kind, fit in fits.items()}
    count = {kind: _train_pairs(catalogue, kind) for kind in its}
    read = sum(count[kind] for kind, fit in its.items() if len(fit.pairs.q))
    share = sum(count.values()) / max(read, 1)
    return [fit.standing_for(count[kind] * share) for kind, fit in its.items()]


def _train_pairs(catalogue: Catalogue, pictured: bool) -> int:
    """Return the number of train pairs of the products with or without a picture."""
    train = catalogue.train & (catalogue.corpus.features.pictured == pictured)
    return int(train.sum()) * len(catalogue.corpus.queries.numbers)


def _kinds(catalogue: Catalogue) -> list[tuple[bool, Rows]]:
    """Return the products with a picture (True) and those by title alone, where there are any."""
    pictured = catalogue.corpus.features.pictured
    kinds = [(True, np.flatnonzero(pictured)), (False, np.flatnonzero(~pictured))]
    return [(kind, rows) for kind, rows in kinds if len(rows)]


def _part(data: CalibrationData, pictured: bool) -> CalibrationData:
    """Return the data to fit on for products with a picture, or for those by title alone.

    Titles alone, too, where no train product that was read has a picture.
    """
    train = data.train[data.corpus.features.pictured[data.train]]
    return replace(data, train=train) if pictured and len(train) else data.without_pictures()
