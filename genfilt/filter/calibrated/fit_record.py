"""The fit of a calibrated filter as `filter_fits` stores it: calibrations, audit, reliability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.filter.agreement.request_words import RequestWords
from genfilt.filter.audit import Audit, check_target
from genfilt.filter.calibrated.coverage import CHAPMAN, Pairs
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import (
    MIN_CANDIDATE_PROBABILITY,
    TrainPairs,
    curves_by_group,
    estimated_curve,
    model_error,
    reliability,
    train_population,
)
from genfilt.filter.calibrated.title_models import FOLDS
from genfilt.filter.forecast import Forecast, forecast_of
from genfilt.filter.precision_curve import Curve, best_sigma

CALIBRATED = "calibrated"


@dataclass(frozen=True)
class FitRecord:
    """The three JSON texts of a row of filter_fits."""

    fit: str
    audit: str
    reliability: str


def record_of(
    fits: Sequence[Fit],
    log: Pairs,
    query_numbers: Rows,
    categories: Sequence[str],
    words: RequestWords,
) -> FitRecord:
    """Return the record of the fits.

    Args:
        fits: with the pairs of the products that each scores, which stand for all such train pairs.
        log: all pairs with train clicks or labels.
        query_numbers: (Q,) q of each row of the queries.
        categories: of each product, "" for none.
        words: what the titles say of the words of queries.
    """
    names = [[categories[f] for f in fit.pairs.f.tolist()] for fit in fits]
    populations = [train_population(fit, its) for fit, its in zip(fits, names, strict=True)]
    population = TrainPairs.joined(populations)
    calibration = fits[0].calibration
    error = model_error(calibration)
    relevant = sum(float(fit.pairs.weight @ fit.relevant) for fit in fits)
    train_pairs = sum(round(float(fit.pairs.weight.sum())) for fit in fits)
    rate = relevant / train_pairs
    read = sum(float((fit.pairs.weight / fit.stands_for[fit.pairs.q]).sum()) for fit in fits)
    sampled = " by a sample of them" if train_pairs > 1.001 * read else ""
    audit = {
        "population": (
            f"all {train_pairs:,} train pairs{sampled}, {rate:.5f} of them relevant"
            f"{_range(calibration)} by {calibration.method}; precision and recall of the unknown "
            f"ones"
        ),
        "base_rate": rate,
        "forecast": asdict(forecast_of(fits, populations, log)),
        "curve": asdict(estimated_curve(population, error)),
        "categories": {
            name: asdict(curve)
            for name, curve in curves_by_group(population, list(chain(*names)), error).items()
        },
    }
    bins = {
        "all": reliability(population).as_dict(),
        "candidates": reliability(population, lowest=MIN_CANDIDATE_PROBABILITY).as_dict(),
    }
    state = _state(fits, query_numbers, words)
    return FitRecord(
        *(json.dumps(each, sort_keys=True, ensure_ascii=False) for each in (state, audit, bins))
    )


def _state(fits: Sequence[Fit], query_numbers: Rows, words: RequestWords) -> dict[str, object]:
    """Return what scoring reads of the fits."""
    return {
        "queries": query_numbers.tolist(),
        "words": words.as_dict(),
        "parts": [
            {
                "calibration": fit.calibration.as_dict(),
                "unseen": np.round(fit.unseen, 6).tolist(),
                "offsets": np.round(fit.offsets, 4).tolist(),
            }
            for fit in fits
        ],
    }


def share_sentence(calibration: Calibration) -> str:
    """Return the share of relevant pairs in words, and how wide the answer is."""
    remedy = "" if calibration.method == CHAPMAN else "; --base-rate gives it, reviews narrow it"
    return (
        f"share of relevant train pairs: {calibration.base_rate:.5f}{_range(calibration)}, by "
        f"{calibration.method}{remedy}"
    )


def _range(calibration: Calibration) -> str:
    if calibration.base_rate_range is None:
        return ""
    low, high = calibration.base_rate_range
    return f" (range {low:.5f} to {high:.5f})"


def audit_of(record: FitRecord, target_precision: float, sigma: float | None = None) -> Audit:
    """Return the audit of a record, with the best sigmas for a target precision.

    The forecast is that of the corrections at `sigma`, left out without one.
    """
    check_target(target_precision)
    found = json.loads(record.audit)
    curve = Curve(**found["curve"])
    return Audit(
        rule=CALIBRATED,
        population=found["population"],
        curve=curve,
        pairs=[None if n is None else round(n) for n in curve.corrections or []],
        by_category={
            name: best_sigma(Curve(**each), target_precision)
            for name, each in found["categories"].items()
        },
        best=best_sigma(curve, target_precision),
        target_precision=target_precision,
        base_rate=found["base_rate"],
        reliability=json.loads(record.reliability),
        forecast=None if sigma is None else Forecast(**found["forecast"]).as_dict(sigma),
    )


@dataclass(frozen=True)
class StoredPart:
    """What is stored of the fit of one part of the products, by row of the queries.

    Queries that the fit has not met have an unseen share of 1 and offsets of 0.
    """

    calibration: Calibration
    unseen: Floats  # (Q,)
    offsets: Floats  # (Q, FOLDS)


def made_for(record: FitRecord) -> dict[str, str]:
    """Return the embedder, generators, template and data hash of a stored fit."""
    found: dict[str, str] = json.loads(record.fit)["parts"][0]["calibration"]["made_for"]
    return found


def stored_words(record: FitRecord) -> RequestWords | None:
    """Return what the fitted titles said of the words of queries; None in a fit without it."""
    found = json.loads(record.fit).get("words")
    return None if found is None else RequestWords.from_dict(**found)


def stored_parts(record: FitRecord, query_numbers: Rows) -> list[StoredPart]:
    """Return the stored fit of each part of the products, for these q."""
    state = json.loads(record.fit)
    place = {number: at for at, number in enumerate(state["queries"])}
    rows = np.array([place.get(number, -1) for number in query_numbers.tolist()], dtype=np.int64)
    met = rows >= 0
    found = []
    for part in state["parts"]:
        unseen, offsets = np.ones(len(rows)), np.zeros((len(rows), FOLDS))
        if met.any():
            unseen[met] = np.array(part["unseen"])[rows[met]]
            offsets[met] = np.array(part["offsets"])[rows[met]]
        found.append(StoredPart(Calibration.from_dict(part["calibration"]), unseen, offsets))
    return found
