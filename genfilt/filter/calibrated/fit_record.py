"""The fit of a calibrated filter as `filter_fits` stores it: calibrations, audit, reliability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.filter.audit import Audit, check_target
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import (
    MIN_CANDIDATE_PROBABILITY,
    TrainPairs,
    curves_by_group,
    estimated_curve,
    reliability,
    train_population,
)
from genfilt.filter.precision_curve import Curve, best_sigma

CALIBRATED = "calibrated"

PartFit = tuple[Fit, Rows]  # a fit and the rows of the products that it scores


@dataclass(frozen=True)
class FitRecord:
    """The three JSON texts of a row of filter_fits."""

    fit: str
    audit: str
    reliability: str


def record_of(fits: Sequence[PartFit], query_numbers: Rows, categories: Sequence[str]) -> FitRecord:
    """Return the record of the fits.

    Args:
        fits: with the rows of the products that each scores.
        query_numbers: (Q,) q of each row of the queries.
        categories: of each product, "" for none.
    """
    populations, names = [], []
    for fit, rows in fits:
        mine = np.isin(fit.pairs.f, rows)
        populations.append(train_population(fit).only(mine))
        names += [categories[f] for f in fit.pairs.f[mine].tolist()]
    population = TrainPairs.joined(populations)
    rate = float((population.relevant * population.weight).sum() / population.weight.sum())
    audit = {
        "population": (
            f"all {population.weight.sum():,.0f} train pairs, {rate:.5f} of "
            f"them relevant by {fits[0][0].calibration.method}; precision and recall of the "
            f"unknown ones"
        ),
        "base_rate": rate,
        "curve": asdict(estimated_curve(population)),
        "categories": {
            name: asdict(curve) for name, curve in curves_by_group(population, names).items()
        },
    }
    bins = {
        "all": reliability(population).as_dict(),
        "candidates": reliability(population, lowest=MIN_CANDIDATE_PROBABILITY).as_dict(),
    }
    state = {
        "queries": query_numbers.tolist(),
        "parts": [
            {
                "calibration": fit.calibration.as_dict(),
                "unseen": [round(value, 6) for value in fit.unseen.tolist()],
            }
            for fit, _ in fits
        ],
    }
    return FitRecord(
        *(json.dumps(each, sort_keys=True, ensure_ascii=False) for each in (state, audit, bins))
    )


def audit_of(record: FitRecord, target_precision: float) -> Audit:
    """Return the audit of a record, with the best sigmas for a target precision."""
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
    )


def calibrations_of(record: FitRecord, query_numbers: Rows) -> list[tuple[Calibration, Floats]]:
    """Return each calibration and (Q,) the unseen share of each query by its number.

    Queries that the fit has not met get 1: none of their relevant pairs is known.
    """
    state = json.loads(record.fit)
    found = []
    for part in state["parts"]:
        unseen = dict(zip(state["queries"], part["unseen"], strict=True))
        shares = [unseen.get(number, 1.0) for number in query_numbers.tolist()]
        calibration = Calibration.from_dict(part["calibration"])
        found.append((calibration, np.array(shares, dtype=np.float64)))
    return found
