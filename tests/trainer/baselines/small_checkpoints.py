"""Small checkpoints and rows that the baselines are tested on."""

from __future__ import annotations

from pathlib import Path

from trainer.baselines.baseline import (
    Material,
    train_rows,
)
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import load_benchmark

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}


def material_of(db: Path, seed: int = 0) -> Material:
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, db.parent / "candidates", "val")
        rows = train_rows(connection, catalogue)
        return Material(catalogue, benchmark, rows, seed, benchmark)
