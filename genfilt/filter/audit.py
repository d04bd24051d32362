"""Precision and recall of a filter over sigma: the audit, and its measurement on judged pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from genfilt.common.arrays import Bools, Floats, Rows
from genfilt.common.errors import UsageError, UserError
from genfilt.common.statistics import resample_groups
from genfilt.filter.precision_curve import (
    GRID,
    RESAMPLES,
    TOLERANCE,
    BestSigma,
    Curve,
    best_sigma,
    intervals,
    numbers,
)
from genfilt.store.store import Store

TITLE_ALONE = "title alone"  # reason of a candidate without a caption


@dataclass(frozen=True)
class Audit:
    """Precision and recall of a rule over sigma.

    Attributes:
        rule: its name.
        population: the pairs that were measured, in words.
        curve: over GRID.
        pairs: candidates that reach each sigma, None below the stored floor.
        by_category: the best sigma of each category of products.
        best: the best sigma of all.
        target_precision: of the best sigmas.
        base_rate: estimated share of relevant pairs, under a rule that estimates it.
        reliability: predicted against observed relevance, under a rule that predicts it.
        forecast: expected false negatives in training batches, under a rule that estimates them.
    """

    rule: str
    population: str
    curve: Curve
    pairs: list[int | None]
    by_category: dict[str, BestSigma]
    best: BestSigma
    target_precision: float
    base_rate: float | None = None
    reliability: Mapping[str, object] | None = None
    forecast: Mapping[str, object] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the keys of `genfilt audit --format json`."""
        curve = {name: value for name, value in asdict(self.curve).items() if value is not None}
        found: dict[str, object] = {
            "rule": self.rule,
            "population": self.population,
            **curve,
            "pairs": self.pairs,
            "by_category": {name: asdict(best) for name, best in self.by_category.items()},
            "best": asdict(self.best),
            "target_precision": self.target_precision,
        }
        if self.base_rate is not None:
            found["base_rate"] = self.base_rate
        if self.reliability is not None:
            found["reliability"] = dict(self.reliability)
        if self.forecast is not None:
            found["forecast"] = dict(self.forecast)
        return found


def forecast_lines(forecast: Mapping[str, object] | None) -> list[str]:
    """Return the forecast in words, a line each; none under a rule without one."""
    if forecast is None:
        return []
    lines = [f"known share: {forecast['known_share']:.2f} of the estimated relevant train pairs"]
    batches = forecast["batches"]
    assert isinstance(batches, list)
    return lines + [
        f"batch of {batch['rows']} train clicks: {batch['false_negatives_before']:.2f} false "
        f"negatives a row, {batch['false_negatives_after']:.2f} after the corrections"
        for batch in batches
    ]


class PairScorer(Protocol):
    """What the audit needs of a rule."""

    name: str

    def scores(self, q: Rows, f: Rows) -> Floats:
        """Return the scores of pairs of numbers, -inf for those that can never pass."""
        ...


@dataclass(frozen=True)
class JudgedPairs:
    """Labelled and reviewed pairs of a split with their scores; equally long arrays."""

    score: Floats  # -inf for pairs that can never pass
    positive: Bools
    q: Rows
    category: list[str]

    def only(self, keep: Bools) -> JudgedPairs:
        """Return the kept pairs."""
        names = [name for name, kept in zip(self.category, keep, strict=True) if kept]
        return JudgedPairs(self.score[keep], self.positive[keep], self.q[keep], names)


JUDGED = """
SELECT v.q, v.p, any_value(f) AS f, any_value(positive) AS positive,
       coalesce(min(category), '') AS category
FROM verdicts v JOIN product_no USING (p) JOIN products USING (product_id)
WHERE v.split = ? AND source <> 'click' GROUP BY v.q, v.p ORDER BY v.q, v.p
"""


def check_target(target_precision: float) -> None:
    """Raise a UsageError unless the target is a precision."""
    if not 0 < target_precision <= 1:
        raise UsageError(
            f"--target-precision must be above 0 and at most 1, got {target_precision}; "
            f"give 0.95, say."
        )


def check_base_rate(base_rate: float | None) -> None:
    """Raise a UsageError unless the base rate is a share."""
    if base_rate is not None and not 0 < base_rate < 1:
        raise UsageError(f"--base-rate must be between 0 and 1, got {base_rate}; give 0.001, say.")


def judged_pairs(store: Store, rule: PairScorer, split: str) -> JudgedPairs:
    """Score the labelled and reviewed pairs of a split.

    Raises:
        UserError: there are none.
    """
    table = store.arrow(JUDGED, [split])
    if table.num_rows == 0:
        review = " or answer genfilt review" if split == "train" else ""
        raise UserError(
            f"{store.path} has no labels or reviews in the split {split} to measure by; "
            f"ingest some with genfilt ingest --labels F{review}; clicks alone do not suffice here."
        )
    q = table["q"].to_numpy().astype(np.int64)
    f = table["f"].fill_null(-1).to_numpy().astype(np.int64)
    return JudgedPairs(
        rule.scores(q, f),
        table["positive"].to_numpy(zero_copy_only=False),
        q,
        table["category"].to_pylist(),
    )


def audit_judged_pairs(
    store: Store,
    rule: PairScorer,
    split: str,
    target_precision: float,
    base_rate: float | None = None,
) -> Audit:
    """Measure precision and recall of a rule on the labels and reviews of a split.

    Precision is that of a population in which `base_rate` of the pairs are positive; without one
    it is that of the judged pairs as they are. Intervals are bootstrapped over queries.

    Raises:
        UsageError: the target or the base rate is not a share.
        UserError: nothing is judged in the split, or all of it one way.
    """
    check_target(target_precision)
    check_base_rate(base_rate)
    judged = judged_pairs(store, rule, split)
    if judged.positive.all() or not judged.positive.any():
        raise UserError(
            f"All {len(judged.positive)} judged pairs of the split {split} are of one kind; "
            f"precision needs positive and negative ones."
        )
    curve = judged_curve(judged, base_rate)
    names = np.array(judged.category)
    by_category = {
        name: best_sigma(judged_curve(judged.only(names == name), base_rate), target_precision)
        for name in sorted(set(judged.category) - {""})
    }
    return Audit(
        rule=rule.name,
        population=_population(judged, split, base_rate),
        curve=curve,
        pairs=_candidates_from(store),
        by_category=by_category,
        best=best_sigma(curve, target_precision),
        target_precision=target_precision,
    )


def judged_curve(judged: JudgedPairs, base_rate: float | None) -> Curve:
    """Return precision and recall of judged pairs over GRID."""
    queries, index = np.unique(judged.q, return_inverse=True)
    passes = judged.score[:, None] >= GRID - TOLERANCE  # (N, S)
    tallies = np.zeros((4, len(queries), len(GRID)))
    for row, kind in enumerate((judged.positive, ~judged.positive)):
        np.add.at(tallies[row], index[kind], passes[kind].astype(float))
        np.add.at(tallies[row + 2], index[kind], 1.0)
    weights = resample_groups(np.arange(len(queries)), RESAMPLES)
    precision, recall = _rates(tallies.sum(axis=1), base_rate)
    samples = _rates(np.einsum("rq,kqs->krs", weights, tallies), base_rate)
    return Curve(
        sigma=GRID.tolist(),
        precision=numbers(precision),
        precision_ci=intervals(samples[0]),
        recall=numbers(recall),
        recall_ci=intervals(samples[1]),
    )


def _rates(tallies: Floats, base_rate: float | None) -> tuple[Floats, Floats]:
    """Return precision and recall from (true passing, false passing, true, false), NaN for 0/0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        passing_true, passing_false, true, false = tallies
        recall, fall_out = passing_true / true, passing_false / false
        share = true / (true + false) if base_rate is None else base_rate
        right = share * recall
        precision = right / (right + (1 - share) * fall_out)
    return precision, recall


def _population(judged: JudgedPairs, split: str, base_rate: float | None) -> str:
    share = float(judged.positive.mean())
    pairs = (
        f"{len(judged.positive)} judged pairs of the split {split}, {share:.3f} of them positive"
    )
    if base_rate is None:
        return f"{pairs}, as they are"
    return f"{pairs}, reweighted to a base rate of {base_rate:g}"


def _candidates_from(store: Store) -> list[int | None]:
    """Return how many candidates reach each sigma, None below the current filter's floor.

    Texts that stay for `features.f_title` alone and belong to no product are not counted.
    """
    floor = store.scalar("SELECT floor FROM filters WHERE current")
    if floor is None:
        return [None] * len(GRID)
    scores = store.arrow(
        "SELECT score FROM qp_candidates JOIN filters USING (filter_id) "
        "SEMI JOIN product_no USING (f) WHERE current AND NOT vetoed ORDER BY score"
    )["score"].to_numpy()
    above = len(scores) - np.searchsorted(scores, GRID - TOLERANCE)
    return [int(n) if s >= floor else None for n, s in zip(above, GRID, strict=True)]
