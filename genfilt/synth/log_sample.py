"""Samples of a generated log: some click events of each query, as a shop's export would hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genfilt.synth.shoppers import SPLITS

TRAIN = SPLITS.index("train")
Clicks = list[tuple[int, int]]


class LogSample:
    """Draws train clicks without replacement; clicks of val and test stay.

    Args:
        clicks: events kept of each query at most; None for all.
        splits: each product's split (P,), as an index into SPLITS.
        seed: decides the draw and nothing else, so that all other rows of a catalogue are equal.
    """

    def __init__(self, clicks: int | None, splits: npt.NDArray[np.integer], seed: int) -> None:
        self._clicks, self._splits = clicks, splits
        self._rng = np.random.default_rng([seed, 2])

    def of(self, clicked: Clicks) -> Clicks:
        """Return what is left of a query's clicks, each a product and its number of events."""
        if self._clicks is None:
            return clicked
        train = [(number, count) for number, count in clicked if self._splits[number] == TRAIN]
        others = [(number, count) for number, count in clicked if self._splits[number] != TRAIN]
        counts = np.array([count for _, count in train], dtype=np.int64)
        kept = min(self._clicks, int(counts.sum()))
        drawn = self._rng.multivariate_hypergeometric(counts, kept) if kept else counts
        left = zip(train, drawn.tolist(), strict=True)
        return sorted([(number, count) for (number, _), count in left if count] + others)
