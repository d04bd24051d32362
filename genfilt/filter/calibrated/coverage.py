"""What a click log and labels say of all pairs: how many relevant ones they leave unknown.

Nobody judges every pair. A pair that nobody clicked or labelled is relevant with a probability that
depends on how much of what is relevant the log and the judges have seen, which two independent
looks at the same pairs reveal: capture and recapture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
UNJUDGED, IRRELEVANT, RELEVANT = -1, 0, 1
FEWEST_SHARED = 20  # pairs both clicked and labelled from which their overlap is trusted
UNSEEN = 0.25  # pairs expected to be missed by both looks: below, a query's own estimate is good
FEWEST_ALIKE = 20  # queries over which an estimate is averaged
STRAY = 1e-4  # share of the irrelevant pairs that are clicked by mistake, before it is estimated


@dataclass(frozen=True)
class Pairs:
    """Train pairs that stand for all pairs of train queries and products; equally long arrays."""

    q: Rows  # row of the query
    f: Rows  # row of the product
    weight: Floats  # how many pairs this one stands for
    clicks: Rows  # 0 where nobody clicked
    label: npt.NDArray[np.int8]  # UNJUDGED, IRRELEVANT or RELEVANT

    def only(self, keep: npt.NDArray[np.bool_]) -> Pairs:
        """Return the kept pairs."""
        return Pairs(
            self.q[keep], self.f[keep], self.weight[keep], self.clicks[keep], self.label[keep]
        )

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Pairs that are known to be relevant: labelled so, or clicked and not labelled."""
        clicked = (self.label == UNJUDGED) & (self.clicks > 0)
        return np.asarray((self.label == RELEVANT) | clicked)


@dataclass(frozen=True)
class Coverage:
    """How much of what is relevant has been seen, query by query.

    Attributes:
        relevant: (Q,) estimated number of relevant pairs of each query.
        clicked: (Q,) share of them that was clicked.
        known: (Q,) share of them that was clicked or labelled.
        method: what the estimate rests on, in a few words.
    """

    relevant: Floats
    clicked: Floats
    known: Floats
    method: str


def estimate_coverage(
    pairs: Pairs, queries: int, base_rate: float | None = None, size: Floats | None = None
) -> Coverage:
    """Estimate how many relevant pairs each query has.

    With labels and clicks: Chapman's estimator (n1 + 1)(n2 + 1) / (m + 1) - 1 in each query, where
    n1 pairs were clicked, n2 labelled relevant and m both; it takes labels and clicks of one query
    as drawn independently. Judges who see clicked pairs first make it too low: sigma is then
    cautious. With clicks alone: Chao's lower bound from pairs clicked once and twice. The estimate
    is averaged over queries of about equal `size`, the (Q,) number of relevant pairs that a model
    expects, else of those known. A base rate that the user gives, as share of all pairs, scales it.
    """

    def size_of(known: Floats) -> Floats:
        return known if size is None else size

    clicked = _count(pairs, pairs.known & (pairs.clicks > 0), queries)
    alike = _alike(size_of(_count(pairs, pairs.known, queries)))
    judged = _count(pairs, pairs.label == RELEVANT, queries)
    known = _count(pairs, pairs.known, queries)
    both = _count(pairs, (pairs.label == RELEVANT) & (pairs.clicks > 0), queries)
    if both.sum() >= FEWEST_SHARED:
        relevant = (clicked + 1) * (judged + 1) / (both + 1) - 1
        # one look alone: its share of what the other look found, over all queries
        seen = both.sum() / np.array([judged.sum(), clicked.sum()])
        relevant = np.where(judged == 0, clicked / seen[0], relevant)
        relevant = np.where(clicked == 0, judged / seen[1], relevant)
        relevant = np.maximum(relevant, known)
        if size is not None:
            full = np.maximum(size, np.maximum(known, 1e-9))
            alike = _alike(size, full * (1 - clicked / full) * (1 - judged / full) > UNSEEN)
        relevant = _unbiased(relevant, clicked, judged, alike)
        method = "clicks against labels (Chapman)"
    elif judged.sum() > clicked.sum():
        relevant, method = known.copy(), "labels, taken as all that is relevant"
    else:
        once = _count(pairs, pairs.known & (pairs.clicks == 1), queries)
        twice = _count(pairs, pairs.known & (pairs.clicks == 2), queries)
        relevant = known + once * np.maximum(once - 1, 0) / (2 * (twice + 1))
        method = "pairs clicked once against twice (Chao)"
    relevant = np.maximum(relevant, known)
    if base_rate is not None:
        scale = base_rate * pairs.weight.sum() / max(relevant.sum(), 1e-9)
        relevant, method = np.maximum(relevant * scale, known), "base rate as given"
    relevant, clicked, known = (_sums(alike, x) for x in (relevant, clicked, known))
    total = np.maximum(relevant, 1e-9)
    relevant = relevant / np.bincount(alike)[alike]
    return Coverage(relevant, _share(clicked, total), _share(known, total), method)


@dataclass(frozen=True)
class Evidence:
    """How likely what was seen of each pair is, were it relevant and were it not; (K,) arrays.

    A label decides. A relevant pair is clicked with its query's coverage, an irrelevant one with
    the rate of stray clicks; a relevant pair stays unknown with what the coverage leaves.
    """

    if_relevant: Floats
    if_not: Floats

    @classmethod
    def of(cls, pairs: Pairs, coverage: Coverage, stray: float) -> Evidence:
        """Weigh the log and the labels, with `stray` the share of irrelevant pairs clicked."""
        seen = np.clip(coverage.clicked[pairs.q], 1e-3, 1.0)
        unseen = np.clip(1 - coverage.known[pairs.q], 1e-3, 1.0)
        clicked = pairs.clicks > 0
        if_relevant, if_not = np.where(clicked, seen, unseen), np.where(clicked, stray, 1 - stray)
        judged = pairs.label != UNJUDGED
        if_relevant[judged] = pairs.label[judged] == RELEVANT
        if_not[judged] = pairs.label[judged] == IRRELEVANT
        return cls(if_relevant, if_not)

    def posterior(self, probability: Floats) -> Floats:
        """Return P(relevant) of each pair once what was seen is counted, (K,)."""
        for_it, against = probability * self.if_relevant, (1 - probability) * self.if_not
        return np.asarray(for_it / np.maximum(for_it + against, 1e-300))

    def only(self, keep: npt.NDArray[np.bool_]) -> Evidence:
        """Return the kept pairs."""
        return Evidence(self.if_relevant[keep], self.if_not[keep])


def stray_rate(pairs: Pairs, relevant: Floats) -> float:
    """Return the share of irrelevant pairs that are clicked, from their expected relevance."""
    wrong = (1 - relevant) * pairs.weight
    return float(np.clip(wrong[pairs.clicks > 0].sum() / max(wrong.sum(), 1e-9), 1e-9, 0.5))


def _unbiased(relevant: Floats, clicked: Floats, judged: Floats, alike: Rows) -> Floats:
    """Return Chapman's estimates, raised by what they miss where both looks are short."""
    found = relevant
    queries = np.bincount(alike)[alike]
    for _ in range(10):
        short = _shortfall(found, clicked, judged)
        found = _sums(alike, relevant) / np.maximum(queries - _sums(alike, short), 0.2 * queries)
    return np.maximum(relevant, found * (clicked + judged > 0))


def _shortfall(relevant: Floats, clicked: Floats, judged: Floats) -> Floats:
    """Return the share by which Chapman's estimator falls short, exp(-(n1 + 1)(n2 + 1) / N).

    Where n1 + n2 >= N it does not.
    """
    short = np.exp(-(clicked + 1) * (judged + 1) / np.maximum(relevant, 1e-9))
    return np.where((clicked + judged < relevant) & (clicked + judged > 0), short, 0.0)


def _alike(size: Floats, short: npt.NDArray[np.bool_] | None = None) -> Rows:
    """Group queries of about equal size: the estimate for one alone is noise.

    Only those that are `short` of looks, where that is given; the others stay alone.
    """
    chosen = np.ones(len(size), dtype=bool) if short is None else short
    group = np.arange(len(size), dtype=np.int64)
    if not chosen.any():
        return group
    values, index, sizes = np.unique(
        np.round(size[chosen]), return_inverse=True, return_counts=True
    )
    place = np.zeros(len(values), dtype=np.int64)
    held = 0
    for at in range(1, len(values)):
        held += sizes[at - 1]
        full = held >= FEWEST_ALIKE
        place[at] = place[at - 1] + full
        held = 0 if full else held
    group[chosen] = len(size) + place[index]
    return np.unique(group, return_inverse=True)[1]


def _count(pairs: Pairs, chosen: npt.NDArray[np.bool_], queries: int) -> Floats:
    weights = pairs.weight[chosen]
    return np.bincount(pairs.q[chosen], weights=weights, minlength=queries).astype(np.float64)


def _sums(group: Rows, values: Floats) -> Floats:
    return np.bincount(group, weights=values).astype(np.float64)[group]


def _share(part: Floats, total: Floats) -> Floats:
    return np.clip(part / total, 0.0, 1.0)
