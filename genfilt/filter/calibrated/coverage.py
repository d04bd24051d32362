"""Capture-recapture estimates of how many relevant pairs the clicks and labels have missed.

A pair without click or label is relevant with a probability that depends on the share of the
relevant pairs that were seen; the overlap of clicks and labels, two samples of them, estimates it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.common.arrays import Bools, Floats, Rows

UNJUDGED, IRRELEVANT, RELEVANT = -1, 0, 1
MIN_PAIRS_IN_BOTH = 20  # clicked and labelled, from which Chapman's estimate is used
MAX_MISSED_PAIRS = 0.25  # without click and label, up to which a query's own estimate is good
MIN_QUERIES_PER_ESTIMATE = 20  # queries over which an estimate is averaged
CLICKS_ALONE = "pairs clicked once against twice (Chao)"  # a method that is a lower bound
CHAPMAN = "clicks against labels (Chapman)"
LABELS_ALONE = "labels, taken as all that is relevant"
BETWEEN_BOUNDS = "the mean of a lower and an upper bound by clicks alone"
MIN_UNSEEN_SHARE = 1e-3  # of a query's relevant pairs: no estimate is surer
INITIAL_MISCLICK_RATE = 1e-4  # share of the irrelevant pairs that are clicked, until estimated


@dataclass(frozen=True)
class Pairs:
    """Train pairs that stand for all pairs of train queries and products; equally long arrays."""

    q: Rows  # row of the query
    f: Rows  # row of the product
    weight: Floats  # how many pairs this one stands for
    clicks: Rows  # 0 where nobody clicked
    label: npt.NDArray[np.int8]  # UNJUDGED, IRRELEVANT or RELEVANT

    def only(self, keep: Bools | Rows) -> Pairs:
        """Return the kept pairs, by a mask or by their places."""
        return Pairs(
            self.q[keep], self.f[keep], self.weight[keep], self.clicks[keep], self.label[keep]
        )

    @property
    def known(self) -> Bools:
        """Pairs that are known to be relevant: labelled so, or clicked and not labelled."""
        clicked = (self.label == UNJUDGED) & (self.clicks > 0)
        return np.asarray((self.label == RELEVANT) | clicked)


@dataclass(frozen=True)
class Coverage:
    """The share of each query's relevant pairs that was clicked or labelled.

    Attributes:
        relevant: (Q,) estimated number of relevant pairs of each query.
        clicked: (Q,) share of them that was clicked.
        known: (Q,) share of them that was clicked or labelled.
        method: how it was estimated.
    """

    relevant: Floats
    clicked: Floats
    known: Floats
    method: str


@dataclass(frozen=True)
class FewClicks:
    """The expected sizes of queries whose clicks are too few to tell how many pairs are missed.

    Attributes:
        sizes: (Q,) numbers of products, up to a common factor.
        weight: of the sizes against the clicks, in (0, 1].
    """

    sizes: Floats
    weight: float

    def allotted(self, missed: Floats, known: Floats) -> Floats:
        """Return what each query has of the missed pairs, by clicks and by sizes, (Q,)."""
        left = np.maximum(self.sizes - known, 0.0)
        parts = ((1 - self.weight, missed), (self.weight, left))
        return np.asarray(sum(weight * part / max(part.sum(), 1e-9) for weight, part in parts))


def estimation_method(pairs: Pairs) -> str:
    """Return by which of CHAPMAN, LABELS_ALONE and CLICKS_ALONE relevant pairs are counted."""
    clicked, labelled = pairs.clicks > 0, pairs.label == RELEVANT
    both, by_label, by_click = (
        float(pairs.weight[each].sum())
        for each in (labelled & clicked, labelled, pairs.known & clicked)
    )
    if both >= MIN_PAIRS_IN_BOTH:
        return CHAPMAN
    return LABELS_ALONE if by_label > by_click else CLICKS_ALONE


def estimate_coverage(
    pairs: Pairs,
    queries: int,
    base_rate: float | None = None,
    size: Floats | None = None,
    few: FewClicks | None = None,
) -> Coverage:
    """Estimate how many relevant pairs each query has.

    With labels and clicks: Chapman's estimator (n1 + 1)(n2 + 1) / (m + 1) - 1 in each query, where
    n1 pairs were clicked, n2 labelled relevant and m both; labels and clicks of one query are
    assumed to be drawn independently. Raters who see clicked pairs first make it too low, which
    makes the probabilities too low. With clicks alone: Chao's lower bound from pairs clicked once
    and twice. Estimates are averaged over queries of about equal `size`, the (Q,) number of
    relevant pairs that a model expects, else of the known ones. A `base_rate`, as share of all
    pairs, scales the estimate; with `few` it is allotted by the sizes of queries, too.
    """
    clicked = _count(pairs, pairs.known & (pairs.clicks > 0), queries)
    labelled = _count(pairs, pairs.label == RELEVANT, queries)
    known = _count(pairs, pairs.known, queries)
    both = _count(pairs, (pairs.label == RELEVANT) & (pairs.clicks > 0), queries)
    size = size if few is None else few.sizes
    alike = _alike(known if size is None else size)
    method = estimation_method(pairs)
    if method == CHAPMAN:
        relevant = _chapman(clicked, labelled, both, known)
        if size is not None:
            full = np.maximum(size, np.maximum(known, 1e-9))
            missed = full * (1 - clicked / full) * (1 - labelled / full)
            alike = _alike(size, missed > MAX_MISSED_PAIRS)
        relevant = _unbiased(relevant, clicked, labelled, alike)
    elif method == LABELS_ALONE:
        relevant = known.copy()
    else:
        relevant = known + _chao(pairs, queries)
    relevant = np.maximum(relevant, known)
    if base_rate is not None:
        if few is not None:
            relevant = known + few.allotted(relevant - known, known)
        relevant = _scaled(relevant, known, base_rate * float(pairs.weight.sum()))
        method = "base rate as given"
    relevant, clicked, known = (_sums(alike, x) for x in (relevant, clicked, known))
    total = np.maximum(relevant, 1e-9)
    relevant = relevant / np.bincount(alike)[alike]
    return Coverage(relevant, _share(clicked, total), _share(known, total), method)


def _scaled(relevant: Floats, known: Floats, total: float) -> Floats:
    """Return estimates that sum to `total`, scaled in what is not known, (Q,).

    Queries whose relevant pairs are all known keep them, whatever the total.
    """
    missed = relevant - known
    if missed.sum() <= 1e-9:
        return np.maximum(relevant * total / max(float(relevant.sum()), 1e-9), known)
    share = max(total - float(known.sum()), 0.0) / float(missed.sum())
    return np.asarray(known + missed * share)


def _chapman(clicked: Floats, labelled: Floats, both: Floats, known: Floats) -> Floats:
    """Return Chapman's estimate of the relevant pairs of each query, (Q,).

    A query with clicks or labels alone is estimated by the share that one has of the other over
    all queries.
    """
    relevant = (clicked + 1) * (labelled + 1) / (both + 1) - 1
    share = both.sum() / np.array([labelled.sum(), clicked.sum()])
    relevant = np.where(labelled == 0, clicked / share[0], relevant)
    relevant = np.where(clicked == 0, labelled / share[1], relevant)
    return np.maximum(relevant, known)


def _chao(pairs: Pairs, queries: int) -> Floats:
    """Return Chao's lower bound of the relevant pairs without a click, (Q,)."""
    once = _count(pairs, pairs.known & (pairs.clicks == 1), queries)
    twice = _count(pairs, pairs.known & (pairs.clicks == 2), queries)
    return np.asarray(once * np.maximum(once - 1, 0) / (2 * (twice + 1)))


@dataclass(frozen=True)
class Evidence:
    """The likelihood of each pair's click and label if it is relevant and if not; (K,) arrays.

    A label is certain. A relevant pair is clicked with its query's coverage, an irrelevant one with
    the misclick rate; a relevant pair stays unknown with 1 minus the share that is known.
    """

    if_relevant: Floats
    if_not: Floats

    @classmethod
    def of(cls, pairs: Pairs, coverage: Coverage, misclick: float) -> Evidence:
        """Return the likelihoods; `misclick` is the share of irrelevant pairs that are clicked."""
        seen = np.clip(coverage.clicked[pairs.q], 1e-3, 1.0)
        unseen = np.clip(1 - coverage.known[pairs.q], MIN_UNSEEN_SHARE, 1.0)
        clicked = pairs.clicks > 0
        if_relevant, if_not = (
            np.where(clicked, seen, unseen),
            np.where(clicked, misclick, 1 - misclick),
        )
        labelled = pairs.label != UNJUDGED
        if_relevant[labelled] = pairs.label[labelled] == RELEVANT
        if_not[labelled] = pairs.label[labelled] == IRRELEVANT
        return cls(if_relevant, if_not)

    def posterior(self, probability: Floats) -> Floats:
        """Return P(relevant) of each pair given its click and label, (K,)."""
        for_it, against = probability * self.if_relevant, (1 - probability) * self.if_not
        return np.asarray(for_it / np.maximum(for_it + against, 1e-300))

    def only(self, keep: Bools) -> Evidence:
        """Return the kept pairs."""
        return Evidence(self.if_relevant[keep], self.if_not[keep])


def misclick_rate(pairs: Pairs, relevant: Floats) -> float:
    """Return the share of irrelevant pairs that are clicked, from their expected relevance."""
    wrong = (1 - relevant) * pairs.weight
    return float(np.clip(wrong[pairs.clicks > 0].sum() / max(wrong.sum(), 1e-9), 1e-9, 0.5))


def _unbiased(relevant: Floats, clicked: Floats, labelled: Floats, alike: Rows) -> Floats:
    """Return Chapman's estimates, corrected for their bias where both samples are small."""
    found = relevant
    queries = np.bincount(alike)[alike]
    for _ in range(10):
        short = _shortfall(found, clicked, labelled)
        found = _sums(alike, relevant) / np.maximum(queries - _sums(alike, short), 0.2 * queries)
    return np.maximum(relevant, found * (clicked + labelled > 0))


def _shortfall(relevant: Floats, clicked: Floats, labelled: Floats) -> Floats:
    """Return the share by which Chapman's estimator falls short, exp(-(n1 + 1)(n2 + 1) / N).

    Where n1 + n2 >= N it does not.
    """
    short = np.exp(-(clicked + 1) * (labelled + 1) / np.maximum(relevant, 1e-9))
    return np.where((clicked + labelled < relevant) & (clicked + labelled > 0), short, 0.0)


def _alike(size: Floats, short: Bools | None = None) -> Rows:
    """Return a group number for each query; queries of about equal size share one, (Q,).

    The estimate of a single query is noise. Queries that are not `short` form groups of their own.
    """
    chosen = np.ones(len(size), dtype=bool) if short is None else short
    group = np.arange(len(size), dtype=np.int64)
    if not chosen.any():
        return group
    values, index, sizes = np.unique(
        np.round(size[chosen]), return_inverse=True, return_counts=True
    )
    place = np.zeros(len(values), dtype=np.int64)
    members = 0
    for at in range(1, len(values)):
        members += sizes[at - 1]
        full = members >= MIN_QUERIES_PER_ESTIMATE
        place[at] = place[at - 1] + full
        members = 0 if full else members
    group[chosen] = len(size) + place[index]
    return np.unique(group, return_inverse=True)[1]


def _count(pairs: Pairs, chosen: Bools, queries: int) -> Floats:
    weights = pairs.weight[chosen]
    return np.bincount(pairs.q[chosen], weights=weights, minlength=queries).astype(np.float64)


def _sums(group: Rows, values: Floats) -> Floats:
    return np.bincount(group, weights=values).astype(np.float64)[group]


def _share(part: Floats, total: Floats) -> Floats:
    return np.clip(part / total, 0.0, 1.0)
