"""Evaluation of a trained run on a split: metrics.json, its tables and its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError
from trainer.config import MINILM
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.comparison import MODEL_SCORE, gaps, summary
from trainer.evaluation.encode import encode, image_weights
from trainer.evaluation.measures import BenchmarkSize, ScoreMetrics, measure
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.plots import save_precision_recall
from trainer.evaluation.query_words import held_out_queries
from trainer.evaluation.report import markdown
from trainer.evaluation.results import Metrics, WordGroup
from trainer.evaluation.scorers import Scorer
from trainer.evaluation.untrained import bm25, sentence_embeddings
from trainer.training.checkpoint import (
    is_configured,
    latest_stage,
    load_config,
    load_model,
    stage_folder,
)
from trainer.training.selection import SELECTION_SPLIT


@dataclass(frozen=True)
class Measured:
    """A split to measure on: texts and pictures, labels and lists, words that train lacks."""

    catalogue: Catalogue
    benchmark: Benchmark
    groups: Mapping[str, Benchmark]  # "seen" and "held out", by the queries' words

    @classmethod
    def read(cls, db: Path, split: str) -> Measured:
        """Read a genfilt database; its candidate lists lie in the folder `candidates` beside it.

        Raises:
            UserError: the database cannot be read, or the split has nothing to measure on.
        """
        with open_database(db) as connection:
            catalogue = load_catalogue(connection)
            benchmark = load_benchmark(connection, db.parent / "candidates", split)
            unknown = held_out_queries(connection)
        known = np.setdiff1d(benchmark.queries, unknown).astype(np.int32)
        groups = {"seen": benchmark.of(known), "held out": benchmark.of(unknown)}
        return cls(catalogue, benchmark, groups)

    def untrained(self) -> dict[str, Scorer]:
        """Return the scorers of BM25 and of the untrained embedder."""
        benchmark = self.benchmark
        embedder = sentence_embeddings(self.catalogue, benchmark.queries, benchmark.products)
        return {
            "BM25": bm25(self.catalogue, benchmark),
            f"untrained {MINILM}": embedder,
        }


def evaluate(run: Path, db: Path, split: str = "val") -> Metrics:
    """Measure the highest stage under run; write metrics.json, metrics.md and the plots there.

    Raises:
        UserError: run holds no checkpoint, or the database nothing to measure on.
    """
    stage = latest_stage(run)
    config = load_config(stage)
    refuse_chosen_split(run, split)
    measured = Measured.read(db, split)
    model = load_model(stage).to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = encode(model, measured.catalogue, measured.benchmark)
    trained, untrained = encoded.scorers(), measured.untrained()
    unreadable = np.array(list(encoded.unreadable), dtype=np.int32)
    scores = _measured(trained, measured.benchmark)
    metrics = Metrics(
        scores=scores,
        untrained=_measured(untrained, measured.benchmark),
        query_words=_by_words(trained | untrained, measured.groups),
        image_weight=image_weights(encoded, measured.benchmark),
        candidates=BenchmarkSize.of(measured.benchmark, encoded.white),
        split=split,
        config=config,
        unreadable_pictures=measured.catalogue.texts(measured.catalogue.product_ids, unreadable),
        summary=summary(
            scores[MODEL_SCORE],
            gaps(trained | untrained, measured.benchmark),
            measured.benchmark,
        ),
    )
    _write(run, metrics, trained | untrained, measured.benchmark)
    return metrics


def refuse_chosen_split(run: Path, split: str) -> None:
    """Refuse to measure a run on the split by which one of its stages chose its weights.

    Raises:
        UsageError: split is val, and a stage kept the weights that were best there.
    """
    if split != SELECTION_SPLIT:
        return
    for stage in (2, 3):
        folder = stage_folder(run, stage)
        if is_configured(folder) and load_config(folder).keep == "best":
            raise UsageError(
                f"Stage {stage} of {run} kept the weights that were best on {split}, so figures "
                f"on --split {split} would flatter it; give --split test."
            )


def _measured(scorers: Mapping[str, Scorer], benchmark: Benchmark) -> dict[str, ScoreMetrics]:
    return {name: measure(scorer, benchmark) for name, scorer in scorers.items()}


def _by_words(
    scorers: Mapping[str, Scorer], groups: Mapping[str, Benchmark]
) -> dict[str, WordGroup]:
    return {
        name: WordGroup(
            queries=len(part.queries),
            labels=len(part.positive),
            positive_labels=int(part.positive.sum()),
            scores=_measured(scorers, part),
        )
        for name, part in groups.items()
    }


def _write(
    run: Path, metrics: Metrics, scorers: Mapping[str, Scorer], benchmark: Benchmark
) -> None:
    write_text(run / "metrics.json", json.dumps(metrics.to_dict(), indent=2) + "\n")
    write_text(run / "metrics.md", markdown(metrics))
    if len(benchmark.positive):
        curves = {
            name: precision_recall(scorer(benchmark.query, benchmark.product), benchmark.positive)
            for name, scorer in scorers.items()
        }
        save_precision_recall(curves, run / "precision_recall", float(benchmark.positive.mean()))
