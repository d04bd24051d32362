"""Forecast of the false negatives in random training batches, before and after the corrections.

In a batch of B random train clicks the row of query q has B - 1 other columns; each is the product
of a random click. Its expected false negatives are B - 1 times the probability that such a product
is relevant to q and in no mask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.filter.calibrated.coverage import Pairs
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.reliability import TrainPairs
from genfilt.filter.precision_curve import GRID, TOLERANCE
from genfilt.store.store import Store

BATCHES = (64, 512)


@dataclass(frozen=True)
class Forecast:
    """Expected false negatives per column of a batch, and how many relevant pairs are known.

    Attributes:
        known_share: of the estimated relevant train pairs, those clicked or labelled.
        before: false negatives per column with the known pairs in the mask.
        after: the same with the corrections too, at each sigma of GRID.
    """

    known_share: float
    before: float
    after: list[float]

    def as_dict(self, sigma: float) -> dict[str, object]:
        """Return the keys of `genfilt audit --format json` for the corrections at sigma."""
        at = min(int(np.searchsorted(GRID, sigma - TOLERANCE)), len(GRID) - 1)
        return {
            "known_share": self.known_share,
            "batches": [
                {
                    "rows": rows,
                    "false_negatives_before": round((rows - 1) * self.before, 4),
                    "false_negatives_after": round((rows - 1) * self.after[at], 4),
                }
                for rows in BATCHES
            ],
        }


def forecast_of(fits: Sequence[Fit], populations: Sequence[TrainPairs], log: Pairs) -> Forecast:
    """Return the forecast for the train pairs of the fits.

    Args:
        fits: with the pairs of the products that each scores, which stand for all such train pairs.
        populations: the pairs of each fit, by which its precision is estimated.
        log: all pairs with train clicks or labels of the products that were read; the clicks are
            the columns of a batch, those of the queries that a fit has read its rows. They stand
            for those of other queries and products: of these the expectation needs no more weight.
    """
    clicks = log.only(log.clicks > 0)
    known = relevant = before = 0.0
    after = np.zeros(len(GRID))
    for fit, population in zip(fits, populations, strict=True):
        pairs = fit.pairs
        rows = clicks.q[np.isin(clicks.q, pairs.q)]
        row_share, column_share = _shares(rows, pairs.q), _shares(clicks.f, pairs.f)
        mass = pairs.weight * fit.relevant
        known += float(mass[pairs.known].sum())
        relevant += float(mass.sum())
        drawn = row_share * column_share / fit.stands_for[pairs.q]
        expected = np.where(pairs.known, 0.0, mass * drawn)
        before += float(expected.sum())
        after += expected.sum() * _share_left(
            population, expected / np.maximum(pairs.weight, 1e-12)
        )
    return Forecast(
        round(known / max(relevant, 1e-9), 4),
        round(before, 8),
        np.round(np.maximum(after, 0.0), 8).tolist(),
    )


def _share_left(population: TrainPairs, expected: Floats) -> Floats:
    """Return the share of the expected false negatives that corrections leave, by GRID, (S,)."""
    passes = np.searchsorted(GRID, population.predicted + TOLERANCE, side="right")
    passes[population.vetoed] = 0
    mass = expected * population.weight
    removed = np.bincount(passes, weights=mass, minlength=len(GRID) + 1)
    return np.asarray(1 - removed[::-1].cumsum()[::-1][1:] / max(float(mass.sum()), 1e-12))


def stored_forecast(store: Store) -> dict[str, object] | None:
    """Return the forecast of the current filter's corrections, None where its rule has none."""
    rows = store.rows(
        "SELECT sigma, audit FROM filters JOIN filter_fits USING (filter_id) "
        "WHERE current AND audit IS NOT NULL"
    )
    if not rows:
        return None
    sigma, audit = rows[0]
    found = json.loads(audit).get("forecast")
    return None if found is None else Forecast(**found).as_dict(sigma)


def _shares(clicked: Rows, wanted: Rows) -> Floats:
    """Return the share of the clicks that falls on each wanted row, (K,)."""
    size = int(max(clicked.max(initial=-1), wanted.max(initial=-1))) + 1
    counts = np.bincount(clicked, minlength=size)
    return np.asarray(counts[wanted] / max(len(clicked), 1), dtype=np.float64)
