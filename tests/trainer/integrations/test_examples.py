"""The examples, run as written on a small database, by --db and by GENFILT_DB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.model.query_life import QueryLife
from trainer.serving.relevance_model import RelevanceModel

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("shop"))


def run(folder: Path, name: str, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check_table(text: str, *more: str) -> None:
    assert "pairs with a held-out label or click" in text
    for name in ("own click alone", "verdicts of the log", "and corrections", *more):
        (row,) = (line for line in text.splitlines() if line.startswith(f"{name}  "))
        assert 0 <= float(row.removeprefix(name).split()[0]) <= 1


def test_the_sentence_transformers_example_takes_a_database(shop: Path, tmp_path: Path) -> None:
    words = ("--db", str(shop), "--epochs", "1")
    made = run(tmp_path, "sentence_transformers_mask.py", *words)
    check_table(made, "GISTEmbed's guide", "corrections dropped")


def test_the_open_clip_example_takes_a_database(shop: Path, tmp_path: Path) -> None:
    words = ("--epochs", "1", "--seeds", "1")
    check_table(run(tmp_path, "open_clip_mask.py", *words, GENFILT_DB=str(shop)))


def test_products_are_scored_from_a_database(shop: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    RelevanceModel(QueryLife.build(preset("tiny", 2).model)).save_pretrained(tmp_path / "model")
    words = ("red ring", "--model", "model", "--db", str(shop))
    lines = run(tmp_path, "score_products.py", *words).splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
