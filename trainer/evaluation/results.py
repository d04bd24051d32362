"""What an evaluation measured, under the keys of metrics.json."""

from __future__ import annotations

import json
from dataclasses import dataclass

from trainer.config import FitConfig
from trainer.evaluation.measures import BenchmarkSize, ScoreMetrics


@dataclass(frozen=True)
class WordGroup:
    """The labels whose queries are in seen words, or hold a word that train lacks."""

    queries: int
    labels: int
    positive_labels: int
    scores: dict[str, ScoreMetrics]

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "queries": self.queries,
            "labels": self.labels,
            "positive_labels": self.positive_labels,
            **{name: score.to_dict() for name, score in self.scores.items()},
        }


@dataclass(frozen=True)
class Metrics:
    """All that `trainer evaluate` measures of a run on a split."""

    scores: dict[str, ScoreMetrics]
    """The trained scores Q->T, Q->I, Q->T+Q->I and Q->M."""
    untrained: dict[str, ScoreMetrics]
    """BM25 and the untrained embedder, on titles."""
    query_words: dict[str, WordGroup]
    """All of these again, for queries in "seen" and in "held out" words."""
    image_weight: dict[str, float | None]
    """The picture's mean weight in M by category (Table 6)."""
    candidates: BenchmarkSize
    split: str
    config: FitConfig
    unreadable_pictures: list[str]
    """Ids of products whose picture file cannot be read; they are measured with a white one."""
    summary: list[str]
    """Which score is the model's and how it stands, in sentences."""

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of metrics.json, as JSON holds them."""
        plain: dict[str, object] = {name: score.to_dict() for name, score in self.scores.items()}
        plain |= {
            "image_weight": self.image_weight,
            "candidates": self.candidates.to_dict(),
            "split": self.split,
            "config": self.config.to_dict(),
            "untrained": {name: score.to_dict() for name, score in self.untrained.items()},
            "query_words": {name: group.to_dict() for name, group in self.query_words.items()},
            "unreadable_pictures": self.unreadable_pictures,
            "summary": self.summary,
        }
        values: dict[str, object] = json.loads(json.dumps(plain))
        return values
