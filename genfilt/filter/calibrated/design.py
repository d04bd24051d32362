"""The design matrix of the calibrated rule: one row of features for each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows, Vectors
from genfilt.filter.agreement.agreement_table import family_numbers
from genfilt.filter.agreement.attribute_values import FAMILIES, RequestedValue
from genfilt.filter.agreement.query_values import Queries
from genfilt.filter.calibrated.click_counts import click_log_odds
from genfilt.filter.calibrated.coverage import RELEVANT, UNJUDGED, Pairs
from genfilt.filter.calibrated.model import Weight
from genfilt.filter.calibrated.scoring import PAIRS_AT_A_TIME, Products, unopposed_contradictions
from genfilt.filter.calibrated.title_models import TitleModels
from genfilt.filter.relevant_share import clicks_suffice

COSINES = 3  # columns for q.i, q.t and i.t
COLUMNS_PER_FAMILY = 7
MAX_VETO_ERROR = 0.05  # share of relevant pairs that a vetoing text may contradict
MIN_RELEVANT_PAIRS = 20  # below, neither a calibration nor a veto is estimated
MAX_CONTRADICTED_PAIRS = 20_000  # most pairs are contradicted; a sample fits their few weights
MAX_TITLE_MODEL_WEIGHT = 1.5  # times a logit shrunk by its ridge; more fits a few titles by heart

Bounds = list[tuple[float | None, float | None]]


@dataclass(frozen=True)
class Training:
    """The input of a fit.

    Attributes:
        queries, products: rows that `pairs` refer to.
        values: (V,) the requested values, in the order of the arrays' columns.
        pairs: train pairs that stand for all of them.
        stands_for: (Q,) how many queries each query of the pairs stands for, 0 where it has none.
        log: all pairs with train clicks, labels or reviews.
        made_for: written into the calibration.
        base_rate: share of relevant pairs of the fitted queries, where the user knows it.
    """

    queries: Queries
    products: Products
    values: Sequence[RequestedValue]
    pairs: Pairs
    stands_for: Floats
    log: Pairs
    made_for: dict[str, str]
    base_rate: float | None = None

    @property
    def logged(self) -> Bools:
        """Queries with a click, label or review, (Q,)."""
        return np.bincount(self.log.q, minlength=len(self.stands_for)) > 0

    @property
    def fitted(self) -> Bools:
        """Queries that are fitted on, (Q,): those of the log, or all.

        That a pair has no click tells nothing where its query has none. A fit on such queries takes
        their pairs for irrelevant ones, and where they are many its share of relevant pairs is that
        of the queries with clicks alone. With few clicks or with labels the fit of the log's
        queries finds more that is wrong, so there all are fitted on where no sample is drawn.
        """
        drawn = self.stands_for > 0
        every = drawn.all() and not clicks_suffice(self.log)
        return drawn if every else drawn & self.logged


@dataclass(frozen=True)
class Design:
    """The features of K pairs: q.i, q.t, i.t, then COLUMNS_PER_FAMILY columns for each family.

    A family's columns: the share of requested values that are of the family; confirmed by the
    title, by the picture; contradicted by the title, by the picture; click log odds of the
    product; logit of the title model.
    """

    rows: Floats  # (K, COSINES + COLUMNS_PER_FAMILY G)
    names: tuple[str, ...]  # (G,) families that queries request
    vetoes: Bools  # (G, 2) whether the title, the picture may veto
    vetoed: Bools  # (K,)
    contradicted: Bools  # (K,) by one text and not confirmed by the other

    @classmethod
    def of(
        cls, training: Training, models: dict[RequestedValue, Vectors], attributes: bool
    ) -> Design:
        """Compute the features of the pairs."""
        products, pairs, values = training.products, training.pairs, training.values
        families = np.unique(family_numbers(values)) if attributes else np.zeros(0, dtype=np.int64)
        titles = TitleModels.of(models, products.written, products.fold, values)
        rows = np.zeros((len(pairs.q), COSINES + COLUMNS_PER_FAMILY * len(families)))
        against = np.zeros((len(rows), len(families), 2), dtype=bool)
        for start in range(0, len(rows), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            rows[part, :COSINES] = _cosines(training, part)
            features, against[part] = _agreement_features(training, titles, families, part)
            rows[part, COSINES:] = features.reshape(len(features), -1)
        blocks = rows[:, COSINES:].reshape(len(rows), len(families), COLUMNS_PER_FAMILY)
        vetoes = _reliable(pairs, blocks[:, :, 1:3] > 0, against)
        vetoed = np.asarray((against & vetoes).any(axis=(1, 2)))
        names = tuple(FAMILIES[family] for family in families)
        return cls(rows, names, vetoes, vetoed, np.asarray(against.any(axis=(1, 2))))

    def only(self, keep: Bools) -> Design:
        """Return the kept pairs."""
        kept = self.rows[keep], self.vetoed[keep], self.contradicted[keep]
        return replace(self, rows=kept[0], vetoed=kept[1], contradicted=kept[2])

    def bounds(self) -> Bounds:
        """Return the (low, high) of each weight: a confirmation never lowers a score."""
        free, up, down = (None, None), (0.0, None), (None, 0.0)
        family = [free, up, up, down, down, up, (0.0, MAX_TITLE_MODEL_WEIGHT)]
        return [up, up, free, *(family * len(self.names)), free]

    def families(self, weights: Floats) -> dict[str, Weight]:
        """Return the fitted weights by family."""
        found = {}
        for at, name in enumerate(self.names):
            start = COSINES + COLUMNS_PER_FAMILY * at
            requested, *texts, clicks, model = weights[start:][:COLUMNS_PER_FAMILY].tolist()
            found[name] = Weight(
                requested=requested,
                confirm=(texts[0], texts[1]),
                contradict=(texts[2], texts[3]),
                clicks=clicks,
                title_model=model,
                vetoes=(bool(self.vetoes[at, 0]), bool(self.vetoes[at, 1])),
            )
        return found

    def thinned(self, pairs: Pairs) -> tuple[Design, Pairs]:
        """Return the design and its pairs with a sample of the unknown pairs that are contradicted.

        The drawn pairs keep the weight of all of them.
        """
        unknown = (pairs.clicks == 0) & (pairs.label == UNJUDGED)
        common = np.flatnonzero(self.contradicted & unknown)
        if len(common) <= MAX_CONTRADICTED_PAIRS:
            return self, pairs
        drawn = np.random.default_rng(0).choice(common, size=MAX_CONTRADICTED_PAIRS, replace=False)
        weight = pairs.weight.copy()
        weight[drawn] *= weight[common].sum() / weight[drawn].sum()
        keep = np.ones(len(weight), dtype=bool)
        keep[common] = False
        keep[drawn] = True
        return self.only(keep), replace(pairs, weight=weight).only(keep)


def counts_clicks(fold: Rows) -> Bools:
    """Return which products' clicks a fit counts, by their title folds, of any shape.

    The others stand for products that nobody clicked.
    """
    return np.asarray(fold % 2 == 1)


def _cosines(training: Training, part: slice) -> Floats:
    """Return q.i, q.t and i.t of some pairs, (n, COSINES)."""
    q, f = training.pairs.q[part], training.pairs.f[part]
    vectors = training.queries.vectors[q]
    image, title = training.products.image[f], training.products.title[f]
    sides = ((vectors, image), (vectors, title), (image, title))
    return np.stack([np.einsum("kd,kd->k", a, b, dtype=np.float64) for a, b in sides], axis=-1)


def _agreement_features(
    training: Training, titles: TitleModels, families: Rows, part: slice
) -> tuple[Floats, Bools]:
    """Return the families' columns of some pairs and which texts contradict unopposed.

    Shapes: (n, G, COLUMNS_PER_FAMILY) and (n, G, 2).
    """
    pairs, queries, products = training.pairs, training.queries, training.products
    q, f = pairs.q[part], pairs.f[part]
    v, share = queries.requested[q], queries.share[q].astype(np.float64)  # (n, A)
    rows = f[:, None]
    agreement = products.agreement_table.at(rows, v)
    opposed = unopposed_contradictions(agreement)
    yes, no = products.counts.at(rows, v)
    own = (share > 0) & pairs.known[part][:, None]  # the pair must not prove itself
    clicks = click_log_odds(yes - own, no)
    clicks[~counts_clicks(products.fold[f])] = 0.0
    silent = (agreement == 0).all(axis=0)
    columns = [
        np.ones_like(share),
        *(agreement > 0),
        *(agreement < 0),
        clicks,
        silent * np.where(clicks == 0, titles.at(rows, v), 0.0),
    ]
    features = np.zeros((len(q), len(families), COLUMNS_PER_FAMILY))
    against = np.zeros((len(q), len(families), 2), dtype=bool)
    family = products.agreement_table.family[v]
    for at, number in enumerate(families):
        mine = np.where(family == number, share, 0.0)
        features[:, at] = np.stack([(mine * column).sum(axis=1) for column in columns], axis=-1)
        against[:, at] = ((mine > 0) & opposed).any(axis=2).T
    return features, against


def _reliable(pairs: Pairs, confirmed: Bools, against: Bools) -> Bools:
    """Return which texts contradict so few relevant pairs that they may veto, (G, 2).

    Relevant pairs are those labelled so or clicked twice: a single click may be a mistake.
    """
    sure = (pairs.label == RELEVANT) | (pairs.known & (pairs.clicks > 1))
    sure = sure if sure.sum() >= MIN_RELEVANT_PAIRS else pairs.known
    speaking = (confirmed | against)[sure].sum(axis=0)
    wrong = against[sure].sum(axis=0)
    return np.asarray((speaking >= MIN_RELEVANT_PAIRS) & (wrong <= MAX_VETO_ERROR * speaking))
