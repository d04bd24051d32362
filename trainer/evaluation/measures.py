"""AUC and Recall@k of one score on a benchmark, with intervals over queries (Table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Floats, Rows
from genfilt.common.statistics import Roc, bootstrap, weighted_mean
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.metrics import auc_by_group, random_recall, recall_at
from trainer.evaluation.scorers import Scorer, score_lists

CUTS = (5, 10, 20)  # the k of the paper's Recall@k
Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval over queries; None where the split cannot show it."""

    value: float | None
    interval: Interval = (None, None)

    def to_dict(self, name: str) -> dict[str, object]:
        """Return the figure as `name` and its interval as `name_ci`."""
        return {name: self.value, f"{name}_ci": list(self.interval)}

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, object]) -> Estimate:
        """Undo `to_dict`."""
        low, high = _pair(values[f"{name}_ci"])
        return cls(_number(values[name]), (_number(low), _number(high)))


@dataclass(frozen=True)
class ScoreMetrics:
    """What one score reaches on a benchmark.

    `auc` is over all labelled pairs, `gauc` the mean of each query's own AUC weighted by its
    labels, `recall` the Recall@k by k.
    """

    auc: Estimate
    gauc: Estimate
    recall: dict[int, Estimate]

    def figure(self, name: str) -> float | None:
        """Return "auc", "gauc" or "recall@k"."""
        return self.named()[name].value

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of metrics.json."""
        plain: dict[str, object] = {}
        for name, estimate in self.named().items():
            plain |= estimate.to_dict(name)
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ScoreMetrics:
        """Undo `to_dict`."""
        return cls(
            auc=Estimate.from_dict("auc", values),
            gauc=Estimate.from_dict("gauc", values),
            recall={k: Estimate.from_dict(f"recall@{k}", values) for k in CUTS},
        )

    def named(self) -> dict[str, Estimate]:
        """Return the estimates by their names: auc, gauc, recall@k."""
        recalls = {f"recall@{k}": estimate for k, estimate in self.recall.items()}
        return {"auc": self.auc, "gauc": self.gauc, **recalls}


def measure(scorer: Scorer, benchmark: Benchmark) -> ScoreMetrics:
    """Return AUC on the labels, over all and by query, and Recall@k on the candidate lists.

    What a split lacks (labels of both kinds, or lists) is None.
    """
    labelled = scorer(benchmark.query, benchmark.product)
    roc, queries = Roc(labelled, benchmark.positive), benchmark.query.astype(np.int64)
    within = auc_by_group(labelled, benchmark.positive, queries)
    scores = score_lists(scorer, benchmark)
    listed = benchmark.candidate_query.astype(np.int64)
    return ScoreMetrics(
        auc=Estimate(finite(roc.auc()), _finite_pair(bootstrap(roc.auc, queries))),
        gauc=_mean(within, queries),
        recall={k: _mean(recall_at(scores, k), listed) for k in CUTS},
    )


@dataclass(frozen=True)
class BenchmarkSize:
    """What the measures are taken on, and the Recall@k of a random order."""

    mean_list: float | None  # products in a candidate list
    random_recall: dict[int, float | None]
    lists: int
    relevant: str  # what makes a pair of the lists relevant: click or label
    labels: int
    positive_labels: int
    white_pictures: int  # products without a readable picture, encoded as a white one

    @classmethod
    def of(cls, benchmark: Benchmark, white_pictures: int) -> BenchmarkSize:
        """Return the sizes of a benchmark."""
        sizes = benchmark.sizes
        return cls(
            mean_list=finite(float(sizes.mean())) if len(sizes) else None,
            random_recall={k: finite(random_recall(sizes, k)) for k in CUTS},
            lists=len(sizes),
            relevant=benchmark.source,
            labels=len(benchmark.positive),
            positive_labels=int(benchmark.positive.sum()),
            white_pictures=white_pictures,
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of metrics.json."""
        return {
            "mean": self.mean_list,
            **{f"random_recall@{k}": value for k, value in self.random_recall.items()},
            "lists": self.lists,
            "relevant": self.relevant,
            "labels": self.labels,
            "positive_labels": self.positive_labels,
            "white_pictures": self.white_pictures,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> BenchmarkSize:
        """Undo `to_dict`."""
        return cls(
            mean_list=_number(values["mean"]),
            random_recall={k: _number(values[f"random_recall@{k}"]) for k in CUTS},
            lists=_count(values["lists"]),
            relevant=str(values["relevant"]),
            labels=_count(values["labels"]),
            positive_labels=_count(values["positive_labels"]),
            white_pictures=_count(values["white_pictures"]),
        )


def finite(value: float) -> float | None:
    """Return a number, None for one that is undefined: JSON has no nan."""
    return value if np.isfinite(value) else None


def _mean(values: Floats, groups: Rows) -> Estimate:
    known = np.isfinite(values)
    values, groups = values[known], groups[known]
    if not len(values):
        return Estimate(None)
    return Estimate(float(values.mean()), _finite_pair(bootstrap(weighted_mean(values), groups)))


def _finite_pair(ends: tuple[float, float]) -> Interval:
    return finite(ends[0]), finite(ends[1])


def _pair(value: object) -> tuple[object, object]:
    if isinstance(value, list | tuple) and len(value) == 2:
        return value[0], value[1]
    raise ValueError(f"an interval must be two numbers, got {value!r}")


def _count(value: object) -> int:
    if isinstance(value, int):
        return value
    raise ValueError(f"a count must be a whole number, got {value!r}")


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    raise ValueError(f"a figure must be a number, got {value!r}")
