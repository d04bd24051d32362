"""Evaluation of a trained run on a split: metrics.json, its tables and its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genfilt.common.arrays import Integers
from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError
from trainer.batches.pack_writer import open_pack
from trainer.config import MINILM, FitConfig
from trainer.database.catalogue import Catalogue, load_catalogue, stored_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.comparison import MODEL_SCORE, gaps, summary
from trainer.evaluation.encode import EncodedBenchmark, encode_numbers, image_weights
from trainer.evaluation.measures import BenchmarkSize, ScoreMetrics, measure
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.plots import save_precision_recall
from trainer.evaluation.query_words import held_out_queries
from trainer.evaluation.report import markdown
from trainer.evaluation.results import Metrics, WordGroup
from trainer.evaluation.scorers import Scorer
from trainer.evaluation.untrained import bm25, sentence_embeddings
from trainer.process_group import on_main, shared_folder
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
    def read(cls, db: Path, split: str, folder: Path | None = None) -> Measured:
        """Read a genfilt database; its candidate lists lie in the folder `candidates` beside it.

        Args:
            db: the database.
            split: train, val or test.
            folder: keeps the catalogue as files, for other processes to map; None for memory.

        Raises:
            UserError: the database cannot be read, or the split has nothing to measure on.
        """
        with open_database(db) as connection:
            catalogue = load_catalogue(connection, folder)
            benchmark = load_benchmark(connection, db.parent / "candidates", split)
            unknown = held_out_queries(connection)
        known = np.setdiff1d(benchmark.queries, unknown).astype(np.int32)
        groups = {"seen": benchmark.of(known), "held out": benchmark.of(unknown)}
        return cls(catalogue, benchmark, groups)


def evaluate(run: Path, db: Path, split: str = "val") -> Metrics:
    """Measure the highest stage under run; write metrics.json, metrics.md and the plots there.

    Where torchrun started several processes, each encodes its part; the first one reads the
    database, measures and writes.

    Raises:
        UserError: run holds no checkpoint, or the database nothing to measure on.
    """
    stage, config = on_main(lambda: _checked_stage(run, split))
    with shared_folder(run / "evaluation-data") as folder:
        measured: list[Measured] = []  # in the first process alone

        def read() -> tuple[Integers, Integers]:
            measured.append(Measured.read(db, split, folder))
            return measured[0].benchmark.queries, measured[0].benchmark.products

        queries, products = on_main(read)
        catalogue = measured[0].catalogue if folder is None else stored_catalogue(folder)
        model = load_model(stage).to("cuda" if torch.cuda.is_available() else "cpu")
        pack = open_pack(db, model.image_transform.size, catalogue.images)
        encoded = encode_numbers(model, catalogue, queries, products, pack)
        beside = {f"untrained {MINILM}": sentence_embeddings(catalogue, queries, products)}
        return on_main(lambda: _measure(run, measured[0], config, encoded, beside))


def _checked_stage(run: Path, split: str) -> tuple[Path, FitConfig]:
    stage = latest_stage(run)
    refuse_chosen_split(run, split)
    return stage, load_config(stage)


def _measure(
    run: Path,
    measured: Measured,
    config: FitConfig,
    encoded: EncodedBenchmark,
    beside: Mapping[str, Scorer],
) -> Metrics:
    trained = encoded.scorers()
    untrained = {"BM25": bm25(measured.catalogue, measured.benchmark), **beside}
    unreadable = np.array(list(encoded.unreadable), dtype=np.int32)
    scores = _measured(trained, measured.benchmark)
    metrics = Metrics(
        scores=scores,
        untrained=_measured(untrained, measured.benchmark),
        query_words=_by_words(trained | untrained, measured.groups),
        image_weight=image_weights(encoded, measured.benchmark.categories),
        candidates=BenchmarkSize.of(measured.benchmark, encoded.white),
        split=measured.benchmark.split,
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
