"""How a model's score stands against the other scores of the same labels, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genfilt.common.arrays import Floats
from genfilt.common.statistics import Roc, bootstrap
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.measures import ScoreMetrics
from trainer.evaluation.scorers import Scorer

MODEL_SCORE = "Q->M"
# An AUC known to 0.05 either way separates few of the differences that the paper reports, which
# lie between 0.01 and 0.11 (its Table 2).
WIDE_HALF_INTERVAL = 0.05
MIN_LABELS_OF_A_KIND = 5  # below, resamples of the queries repeat the same few labels


@dataclass(frozen=True)
class Gap:
    """How far the model's AUC is above another's on the same labels, with a 95 % interval."""

    name: str
    value: float
    low: float
    high: float

    @property
    def side(self) -> str:
        """Where the model stands: "above", "below" or, where the interval holds 0, "level"."""
        if self.low > 0:
            return "above"
        return "below" if self.high < 0 else "level"

    def __str__(self) -> str:
        return f"{self.name} by {self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def gaps(scorers: Mapping[str, Scorer], benchmark: Benchmark) -> list[Gap]:
    """Return the paired differences in AUC of Q->M and each other score, queries drawn anew."""
    rocs = {
        name: Roc(scorer(benchmark.query, benchmark.product), benchmark.positive)
        for name, scorer in scorers.items()
    }
    queries = benchmark.query.astype("int64")
    model = rocs.pop(MODEL_SCORE)
    found = []
    for name, other in rocs.items():

        def difference(weights: Floats | None = None, other: Roc = other) -> float:
            return model.auc(weights) - other.auc(weights)

        found.append(Gap(name, difference(), *bootstrap(difference, queries)))
    return found


def summary(own: ScoreMetrics, compared: list[Gap], benchmark: Benchmark) -> list[str]:
    """Return which score is the model's, how it stands, and a warning where labels are few."""
    labels, positive = len(benchmark.positive), int(benchmark.positive.sum())
    if own.auc.value is None:
        return [
            f"{MODEL_SCORE} is the model's score; split {benchmark.split} has {labels} labels, "
            f"{positive} of them positive, so that no AUC is defined: Recall@k alone counts here."
        ]
    low, high = (end if end is not None else float("nan") for end in own.auc.interval)
    sides = {
        "above": "above",
        "below": "below",
        "level": "not distinguishable from",
    }
    parts = [
        f"{words} {', '.join(str(gap) for gap in compared if gap.side == side)}"
        for side, words in sides.items()
        if any(gap.side == side for gap in compared)
    ]
    sentences = [
        f"{MODEL_SCORE} is the model's score: AUC {own.auc.value:.3f} ({low:.3f} to {high:.3f}) on "
        f"{labels} labels of split {benchmark.split}, {positive} of them positive; it is "
        f"{'; '.join(parts)}."
    ]
    half = (high - low) / 2
    if not half <= WIDE_HALF_INTERVAL:
        sentences.append(
            f"{labels} labels are few: the interval of the AUC is {half:.2f} wide to either side, "
            "and smaller differences decide nothing; ingest more labels of this split."
        )
    elif min(positive, labels - positive) < MIN_LABELS_OF_A_KIND:
        sentences.append(
            f"{labels} labels are few, {positive} of them positive: the intervals are resampled "
            "from these and too narrow, so no difference above decides anything; ingest more "
            "labels of this split."
        )
    return sentences
