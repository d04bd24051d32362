"""Means over runs with intervals, and paired tests of two models on the same pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from genfilt.common.arrays import Floats, Integers
from genfilt.common.statistics import (
    LEVEL,
    Roc,
    percentile_interval,
    resample_groups,
    weighted_mean,
)
from trainer.ablation.scores import Scores
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.metrics import recall_at
from trainer.evaluation.scorers import score_lists

SAMPLES = 1000
SIGNIFICANCE = 1 - LEVEL
MIN_HALF_SHOWN = 5e-4  # a smaller interval is 0 at three decimals
MIN_RUNS = 3  # a t interval of two runs is wider than any difference of interest


@dataclass(frozen=True)
class Mean:
    """A mean over runs; `half` is half its 95 % t interval, None below three runs."""

    value: float
    half: float | None
    runs: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Mean | None:
        """Return the mean of what is there, None where nothing is."""
        from scipy.stats import t

        found = np.array([value for value in values if value is not None], dtype=np.float64)
        if not len(found):
            return None
        half = None
        if len(found) >= MIN_RUNS:
            spread = float(found.std(ddof=1)) / np.sqrt(len(found))
            half = float(t.ppf(1 - SIGNIFICANCE / 2, len(found) - 1)) * spread
        return cls(float(found.mean()), half, len(found))

    def __str__(self) -> str:
        if self.half is None or self.half < MIN_HALF_SHOWN:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ± {self.half:.3f}"


@dataclass(frozen=True)
class JudgedRun:
    """One model's scores of one measure on one unit, with the benchmark of its labels and lists.

    `database` names the benchmark: for units of one database the same queries are drawn.
    """

    scores: Scores
    measure: str
    benchmark: Benchmark
    database: str

    def auc(self) -> Callable[[Floats], float]:
        """Return the AUC as a function of how often each label counts (L,)."""
        scorer = self.scores.scorers()[self.measure]
        benchmark = self.benchmark
        return Roc(scorer(benchmark.query, benchmark.product), benchmark.positive).auc

    def recall(self, k: int) -> Callable[[Floats], float]:
        """Return Recall@k as a function of how often each list counts (N,)."""
        lists = score_lists(self.scores.scorers()[self.measure], self.benchmark)
        return weighted_mean(recall_at(lists, k))


@dataclass(frozen=True)
class Difference:
    """How far a model is above another on the same units.

    `mean` is over runs; `low` and `high` bound it when queries are drawn anew, and `p` is the
    two-sided share of such draws on the other side of zero. `p_runs` is of a paired t test over
    runs, None below three. `better` counts the runs in which the first is above.
    """

    mean: Mean
    low: float
    high: float
    p: float
    p_runs: float | None
    better: int

    @property
    def conclusion(self) -> str:
        """Whether the first is better: "holds", "contradicted", or "not shown"."""
        if self.p >= SIGNIFICANCE:
            return "not shown"
        if self.mean.value > 0 and self.better == self.mean.runs:
            return "holds"
        if self.mean.value < 0 and self.better == 0:
            return "contradicted"
        return "not shown"


def difference(
    first: Sequence[JudgedRun], second: Sequence[JudgedRun], k: int | None = None
) -> Difference | None:
    """Compare two models unit by unit, on AUC, or on Recall@k where k is given.

    Queries are drawn anew with replacement, the same for both models and for units of one
    database; None where nothing can be measured.
    """
    observed: list[float] = []
    drawn: list[Floats] = []
    for one, other in zip(first, second, strict=True):
        above = one.auc() if k is None else one.recall(k)
        below = other.auc() if k is None else other.recall(k)
        benchmark = one.benchmark
        groups = benchmark.query if k is None else benchmark.candidate_query
        gap = above(np.ones(len(groups))) - below(np.ones(len(groups)))
        if not np.isfinite(gap):
            continue
        observed.append(gap)
        samples = _draws(groups, one.database)
        drawn.append(np.array([above(weights) - below(weights) for weights in samples]))
    mean = Mean.of(observed)
    if mean is None:
        return None
    means = np.nanmean(np.stack(drawn), axis=0)
    low, high = percentile_interval(means)
    sides = (means <= 0).mean(), (means >= 0).mean()
    return Difference(
        mean=mean,
        low=low,
        high=high,
        p=float(min(1.0, 2 * max(min(sides), 1 / SAMPLES))),
        p_runs=_paired(observed),
        better=sum(gap > 0 for gap in observed),
    )


def paired_mean(
    cells: Iterable[Mapping[str, float | None]], first: str, second: str
) -> Mean | None:
    """Return the mean of the first value less the second, over the cells that have both."""
    gaps = []
    for cell in cells:
        above, below = cell.get(first), cell.get(second)
        if above is not None and below is not None:
            gaps.append(above - below)
    return Mean.of(gaps)


def _draws(groups: Integers, name: str) -> Floats:
    """Return (SAMPLES, N): how often each item counts when its query is drawn anew."""
    return resample_groups(groups.astype(np.int64), SAMPLES, seed=crc32(name.encode()))


def _paired(gaps: Sequence[float]) -> float | None:
    from scipy.stats import ttest_1samp

    if len(gaps) < MIN_RUNS or np.ptp(gaps) == 0:
        return None
    return float(ttest_1samp(gaps, 0.0).pvalue)
