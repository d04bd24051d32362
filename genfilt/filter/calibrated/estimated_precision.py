"""Step 5 for the calibrated rule: what sigma is worth among all train pairs, judged or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.calibration_data import CalibrationData, load_calibration_data
from genfilt.filter.calibrated.candidates import fit_rule
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.model import Calibration
from genfilt.filter.calibrated.reliability import (
    MIN_CANDIDATE_PROBABILITY,
    curve,
    reliability,
    suggest,
    suggest_by,
    train_population,
)
from genfilt.store.store import Store

CATEGORIES = """
SELECT f, min(category) AS category FROM product_no JOIN products USING (product_id)
WHERE f IS NOT NULL AND category IS NOT NULL GROUP BY f
"""


def audit_calibrated(
    store: Store,
    corpus: Corpus,
    embedder: Embedder,
    *,
    target_precision: float = 0.95,
    base_rate: float | None = None,
) -> dict[str, Any]:
    """Return precision and recall over sigma, the suggested sigma and the reliability diagram.

    The population is all pairs of train products; a pair that nobody judged counts with its
    estimated relevance, and each is predicted by weights that never met its query.

    Raises:
        UserError: the current filter's calibration was made for another embedder, other
            generators or other data.
    """
    if not 0 < target_precision <= 1:
        raise UsageError(f"--target-precision {target_precision} is no share; give 0.95, say.")
    data = load_calibration_data(store, corpus, embedder)
    stored = store.scalar(
        "SELECT fit FROM filter_fits JOIN filters USING (filter_id) WHERE current"
    )
    if stored is None:
        raise UserError(
            f"{store.path} holds no calibrated filter; run genfilt filter --rule calibrated."
        )
    Calibration.from_json(stored).check(data.made_for)
    fit = fit_rule(data, base_rate=base_rate)
    return describe(store, data, fit, target_precision)


def describe(store: Store, data: CalibrationData, fit: Fit, target: float) -> dict[str, Any]:
    """Return the audit of a fit; see `audit_calibrated`."""
    population = train_population(fit)
    found = curve(population)
    category = dict(store.rows(CATEGORIES))
    of_pair = [category.get(f, "") for f in data.corpus.features.f[fit.pairs.f].tolist()]
    best = suggest(found, target)
    return {
        "rule": "calibrated",
        "population": (
            f"all {population.weight.sum():,.0f} train pairs, {fit.calibration.base_rate:.5f} of "
            f"them relevant by {fit.calibration.method}; precision and recall of the unknown ones"
        ),
        **found,
        "pairs": [None if n is None else round(n) for n in found["corrections"]],
        "by_category": suggest_by(population, of_pair, target),
        "best": best,
        "target_precision": target,
        "base_rate": fit.calibration.base_rate,
        "reliability": {
            "all": reliability(population),
            "candidates": reliability(population, lowest=MIN_CANDIDATE_PROBABILITY),
        },
    }


def suggested_sigma(fit: Fit, target: float) -> float:
    """Return the sigma that `filter --sigma auto` uses.

    Raises:
        UserError: no sigma reaches the target precision.
    """
    sigma = suggest(curve(train_population(fit)), target)["sigma"]
    if sigma is None:
        highest = float(np.max(fit.calibration.probabilities))
        raise UserError(
            f"No sigma reaches a precision of {target:g} on train (the highest probability is "
            f"{highest:.3f}); give --sigma yourself, or more labels."
        )
    return float(sigma)
