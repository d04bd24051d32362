"""The model card: its figures are those of metrics.json, and of the exported weights only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.evaluation.evaluate import evaluate
from trainer.serving.model_card import CARD, write_model_card
from trainer.serving.relevance_model import RelevanceModel
from trainer.training.fit import fit


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("card"))


def card(run: Path) -> str:
    model = RelevanceModel.from_run(run, "cpu").model
    write_model_card(model, run, run)
    return (run / CARD).read_text("utf-8")


def test_data_figures_use_and_limits_are_told(shop: Path, tmp_path: Path) -> None:
    fit(replace(preset("tiny", 2), epochs=1, seed=3), shop, tmp_path)
    before = card(tmp_path)
    assert "| 2 | 12 | train clicks | 1 | 16 | 3 | " in before
    assert "train products" not in before  # there was no stage 1
    assert "Not measured: run `trainer evaluate`" in before
    evaluate(tmp_path, shop, "val")
    text = card(tmp_path)
    measured = json.loads((tmp_path / "metrics.json").read_text())["Q->M"]
    low, high = measured["auc_ci"]
    assert f"| Q->M | {measured['auc']:.3f} ({low:.3f} to {high:.3f}) | " in text
    assert "| untrained all-MiniLM-L6-v2 |" in text
    assert "On split val: 24 labels, 12 of them positive; 12 candidate lists" in text
    for part in ("## Intended use", "## Limits", "Vectors of width 32.", "after 32 tokens"):
        assert part in text


def test_figures_of_other_weights_are_not_quoted(shop: Path, tmp_path: Path) -> None:
    fit(replace(preset("tiny", 2), epochs=1), shop, tmp_path)
    evaluate(tmp_path, shop, "val")
    assert "| Q->M |" in card(tmp_path)
    fit(replace(preset("tiny", 2), epochs=1, seed=1), shop, tmp_path)
    assert "Not measured" in card(tmp_path)
