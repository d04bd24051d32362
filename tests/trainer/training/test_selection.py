"""The epoch kept by val: it is the best one, survives a cut, and is never reported on val."""

from __future__ import annotations

import importlib.util
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genfilt.common.errors import UsageError, UserError
from genfilt.common.statistics import auc
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.config import preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import load_benchmark
from trainer.evaluation.encode import encode
from trainer.evaluation.evaluate import evaluate
from trainer.model.query_life import QueryLife
from trainer.training import checkpoint
from trainer.training.fit import RunOptions, fit
from trainer.training.run_log import Progress
from trainer.training.selection import BestEpoch

BY_VAL = replace(preset("tiny", 2), epochs=4, batch_size=6, keep="best", save_steps=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("selection"))


def val_auc(db: Path, stage: Path) -> float:
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        val = load_benchmark(connection, db.parent / "candidates", "val")
    score = encode(checkpoint.load_model(stage), catalogue, val).scorers()["Q->M"]
    return float(auc(score(val.query, val.product), val.positive))


def test_the_best_epochs_weights_are_kept_and_val_is_no_measure_of_them(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = fit(BY_VAL, shop, tmp_path)
    fit(replace(BY_VAL, keep="last"), shop, tmp_path / "last")
    best, last = (val_auc(shop, run / "stage2") for run in (tmp_path, tmp_path / "last"))
    assert made.best_epoch in (1, 2, 3, 4)
    assert best >= last
    assert f"epoch {made.best_epoch}, with an AUC of {best:.3f} on val" in capsys.readouterr().err
    assert not list(tmp_path.rglob("best-*"))
    with pytest.raises(UsageError, match=r"Stage 2 of .* kept the weights .* give --split test"):
        evaluate(tmp_path, shop, "val")


def test_only_a_better_epoch_replaces_the_weights(shop: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = QueryLife.build(BY_VAL.model).train()
    with open_database(shop) as connection:
        catalogue = load_catalogue(connection)
    best, progress = BestEpoch(shop, catalogue, tmp_path), Progress()
    best.look(model, progress, epoch=1)
    assert model.training
    assert progress.best_epoch == 1
    before = {name: one.clone() for name, one in checkpoint.stored(model).items()}
    progress.best_auc = 1.0
    torch.nn.init.normal_(model.text_projection.weight)
    best.look(model, progress, epoch=2)
    assert progress.best_epoch == 1
    best.restore(model, progress)
    for name, one in checkpoint.stored(model).items():
        torch.testing.assert_close(one, before[name])
    progress.best_auc = -1.0
    best.look(model, progress, epoch=3)
    assert progress.best_epoch == 3
    assert progress.best_auc >= 0


def killed_before(name: str, db: Path, out: Path) -> None:
    """Train in a forked process that ends when it comes to a function of `checkpoint`."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        return
    calls = 0
    real = getattr(checkpoint, name.rstrip("2"))

    def ending(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1 + name.endswith("2"):
            os._exit(9)
        return real(*given)

    setattr(checkpoint, name.rstrip("2"), ending)
    with suppress(BaseException):
        fit(BY_VAL, db, out)
    os._exit(1)


@pytest.mark.parametrize("name", ["save_step2", "write_weights2", "finish_run", "load_weights_of"])
def test_cut_off_anywhere_it_resumes_to_the_same_epoch_and_weights(
    shop: Path, tmp_path: Path, name: str
) -> None:
    whole = fit(BY_VAL, shop, tmp_path / "whole")
    killed_before(name, shop, tmp_path / "cut")
    assert not checkpoint.is_done(tmp_path / "cut" / "stage2")
    resumed = fit(BY_VAL, shop, tmp_path / "cut", resume=True)
    same = ("best_epoch", "losses", "positives_a_row", "steps", "rows")
    assert {n: getattr(resumed, n) for n in same} == {n: getattr(whole, n) for n in same}
    one, other = (
        checkpoint.load_model(tmp_path / run / "stage2").state_dict() for run in ("cut", "whole")
    )
    for key, value in one.items():
        assert torch.equal(value, other[key]), key
    left = {path.name for path in checkpoint.current(tmp_path / "cut" / "stage2").iterdir()}
    assert left == {"config.json", "log.jsonl", "model.safetensors", "summary.json"}


def test_stage_1_and_val_labels_of_one_kind_cannot_choose(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stage 1 trains none"):
        replace(preset("tiny", 1), keep="best")
    with Shop(tmp_path / "shop.duckdb") as made:
        made.query("q", "red ring")
        for name, split in (("a", "train"), ("b", "val")):
            picture = draw(tmp_path / f"{name}.jpg", "red", "ring")
            made.product(name, f"ring {name}", picture, split=split)
        made.click("q", "a")
        made.label("q", "b", 1, "val")
    with pytest.raises(UserError, match="needs val labels of both kinds, got 1 of one kind"):
        fit(BY_VAL, tmp_path / "shop.duckdb", tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="--device is cuda, and torch finds none here"):
        RunOptions(device="cuda")


def test_a_tracker_that_is_not_installed_is_named(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pip install no_such_tracker"):
        fit(BY_VAL, shop, tmp_path, options=RunOptions(log_with="no_such_tracker"))


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="no tensorboard")
def test_tensorboard_gets_every_batchs_losses(shop: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(BY_VAL, keep="last", epochs=1)
    fit(config, shop, tmp_path, options=RunOptions("cpu", "tensorboard"))
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    read = EventAccumulator(str(events.parent))
    read.Reload()
    log = checkpoint.current(tmp_path / "stage2") / "log.jsonl"
    logged = [json.loads(line)["qmc"] for line in log.read_text().splitlines()]
    assert [one.value for one in read.Scalars("qmc")] == pytest.approx(logged, abs=1e-5)
