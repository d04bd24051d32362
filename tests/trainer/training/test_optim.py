"""What holds a checkpoint's knowledge in training: the pull to its start, replaced words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.model.query_life import QueryLife
from trainer.training import checkpoint
from trainer.training.fit import fit
from trainer.training.optim import PRETRAINED, PullToStart


def test_the_pull_moves_a_checkpoints_weights_back_and_no_others() -> None:
    model = QueryLife.build(preset("tiny", 1).model)
    start = {name: one.detach().clone() for name, one in model.named_parameters()}
    pull = PullToStart(model, strength=50.0)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(1.0)
    pull(rate=0.005)
    for name, one in model.named_parameters():
        moved = 0.75 if name.startswith(PRETRAINED) else 1.0
        torch.testing.assert_close(one - start[name], torch.full_like(one, moved))
    pull(rate=1.0)  # never beyond the start
    for name, one in model.named_parameters():
        if name.startswith(PRETRAINED):
            torch.testing.assert_close(one, start[name])


def losses(run: Path) -> list[dict[str, float]]:
    log = checkpoint.current(run / "stage2") / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_replaced_words_change_what_is_learned_alike_in_every_run(tmp_path: Path) -> None:
    shop = toy_shop(tmp_path)
    config = replace(preset("tiny", 2), epochs=1, word_dropout=0.5, dropped_words="random")
    for name, value in (("first", config), ("again", config), ("none", preset("tiny", 2))):
        fit(replace(value, epochs=1), shop, tmp_path / name)
    first, again, none = (losses(tmp_path / name) for name in ("first", "again", "none"))
    assert first == again
    assert first[0]["qtc"] != none[0]["qtc"]
    assert first[0]["itc"] != none[0]["itc"]  # titles lose words too
