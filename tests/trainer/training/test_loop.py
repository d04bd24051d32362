"""Training a stage: it learns, it can be cut off, it stops at what is not finite."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genfilt.common.errors import UsageError, UserError
from tests.trainer.shop import COLORS, SHAPES, toy_shop
from tests.trainer.small_batches import batch_of
from trainer.config import FitConfig, preset
from trainer.training import checkpoint
from trainer.training.fit import fit, make_accelerator
from trainer.training.loop import TrainingLoop
from trainer.training.objective import Objective
from trainer.training.optim import build_optimizer, schedule
from trainer.training.run_log import LossLog, Summary
from trainer.training.stage_data import StageData


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("loop"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_model(folder).state_dict()


def lines(folder: Path) -> list[dict[str, float]]:
    log = checkpoint.current(folder) / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_three_stages_learn_and_say_where_they_start(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(replace(preset("tiny", 1), epochs=2), shop, tmp_path)
    fit(replace(preset("tiny", 2), epochs=2), shop, tmp_path)
    made = fit(replace(preset("tiny", 3), epochs=20), shop, tmp_path)
    said = capsys.readouterr().err
    assert f"Stage 2 starts from {tmp_path / 'stage1'}" in said
    assert f"Stage 3 starts from {tmp_path / 'stage2'}" in said
    assert "Parameters:" in said
    assert made.rows == 24
    assert made.steps == 40
    log = lines(tmp_path / "stage3")
    assert [line["batch"] for line in log] == list(range(40))
    first, last = (
        np.mean([line["qtc"] + line["qmc"] for line in part]) for part in (log[:4], log[-4:])
    )
    assert last < 0.8 * first
    assert Summary.read(tmp_path / "stage3") == made
    assert made.positives_a_row > 0.5
    assert made.comparison.startswith("no corrections: not a comparison")  # all of them are known
    some, without = replace(made, query_product_corrections=3), replace(made, without=("genfilt",))
    end = f"{made.positives_a_row:.2f} positives a row"
    assert some.comparison == f"trained with 3 corrections, {end}"
    assert without.comparison == f"trained without genfilt with 0 corrections, {end}"
    first = replace(some, stage=1)  # no query is in its losses
    assert first.comparison == f"no corrections: not a comparison; {end}"
    assert replace(first, image_title_corrections=2).comparison.startswith("trained with 2 corr")


def test_a_stage_without_the_one_before_says_so(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(replace(preset("tiny", 3), epochs=1), shop, tmp_path)
    said = capsys.readouterr().err
    assert "Stage 3 starts from scratch" in said
    assert "holds no finished stage 2" in said


LONG = replace(preset("tiny", 2), epochs=16, save_steps=4, batch_size=4)
RUN = """
import sys, json, torch
from pathlib import Path
from trainer.config import FitConfig
from trainer.training.fit import fit
torch.set_num_threads(1)
config, db, out = sys.argv[1:]
fit(FitConfig.from_dict(json.loads(config)), Path(db), Path(out))
"""


def step_of(folder: Path) -> Path | None:
    """The newest step folder of a stage's last run."""
    run = checkpoint.last_run(folder)
    return None if run is None else checkpoint.latest_step(run)


def run_until_killed(config: FitConfig, db: Path, out: Path) -> None:
    """Train in another process and end it with SIGKILL once it has written a checkpoint."""
    arguments = [json.dumps(config.to_dict()), str(db), str(out)]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while step_of(checkpoint.stage_folder(out, config.stage)) is None:
            assert process.poll() is None, "the stage ended before its first checkpoint"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_resumed_after_sigkill_it_ends_in_the_same_bits(shop: Path, tmp_path: Path) -> None:
    config = replace(LONG, model=replace(LONG.model, dropout=0.1))
    run_until_killed(config, shop, tmp_path / "cut")
    folder = tmp_path / "cut" / "stage2"
    assert not checkpoint.is_done(folder)
    step = step_of(folder)
    assert step is not None
    assert 0 < json.loads((step / "state.json").read_text())["step"] < 48
    resumed = fit(config, shop, tmp_path / "cut", resume=True)
    whole = fit(config, shop, tmp_path / "whole")
    one, other = (weights(tmp_path / name / "stage2") for name in ("cut", "whole"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert lines(tmp_path / "cut" / "stage2") == lines(tmp_path / "whole" / "stage2")
    assert resumed.positives_a_row == whole.positives_a_row


def test_resuming_what_is_finished_or_not_begun(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(preset("tiny", 1), epochs=1)
    first = fit(config, shop, tmp_path, resume=True)
    assert "it begins anew" in capsys.readouterr().err
    assert fit(config, shop, tmp_path, resume=True) == first
    assert "finished already" in capsys.readouterr().err


def loop_of(config: FitConfig, db: Path) -> tuple[TrainingLoop, Objective]:
    loop = TrainingLoop(config, StageData.read(db, config), make_accelerator(config))
    return loop, loop.objective()


def test_what_is_not_finite_stops_and_names_its_rows(shop: Path, tmp_path: Path) -> None:
    loop, _ = loop_of(replace(preset("tiny", 2), epochs=1), shop)
    blue = loop.model.tokenize(["blue"])["input_ids"][0, 1]
    with torch.no_grad():
        loop.model.encoder.embeddings.word_embeddings.weight[blue] = torch.nan  # type: ignore[union-attr]
    with pytest.raises(UserError) as caught:
        loop.train(tmp_path)
    text = str(caught.value)
    assert "is not finite, with 3 of 12 rows at fault" in text
    for shape in SHAPES:
        assert f"'blue {shape}' with blue-{shape}-0" in text
    assert "'red" not in text
    assert "\n" not in text


def huge_png() -> bytes:
    """A few bytes that call themselves a PNG of 100,000 x 100,000 pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_an_unreadable_picture_is_skipped_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = toy_shop(tmp_path / "shop")
    (tmp_path / "shop" / "red-ring-0.jpg").write_bytes(b"no picture")
    (tmp_path / "shop" / "blue-bar-1.jpg").unlink()
    (tmp_path / "shop" / "green-bar-0.jpg").write_bytes(huge_png())
    made = fit(replace(preset("tiny", 1), epochs=1), db, tmp_path)
    assert made.skipped == 3
    listed = json.loads((checkpoint.current(tmp_path / "stage1") / "skipped.json").read_text())
    assert listed.keys() == {"red-ring-0", "blue-bar-1", "green-bar-0"}
    assert "The picture of red-ring-0 is skipped" in capsys.readouterr().err


def test_a_batch_that_nothing_can_be_read_of_is_passed_over(tmp_path: Path) -> None:
    db = toy_shop(tmp_path / "shop")
    for color in COLORS:
        for shape in SHAPES[:2]:
            (tmp_path / "shop" / f"{color}-{shape}-0.jpg").unlink()
    made = fit(replace(preset("tiny", 2), epochs=2, batch_size=2), db, tmp_path)
    assert made.skipped == 8
    assert len(lines(tmp_path / "stage2")) == 12


def test_accumulated_gradients_are_the_mean_of_batches(shop: Path, tmp_path: Path) -> None:
    config = replace(preset("tiny", 3), batch_size=12, epochs=1, max_grad_norm=1e9)

    def gradients(accumulation: int, batches: tuple[int, ...]) -> list[torch.Tensor]:
        loop, objective = loop_of(replace(config, accumulation=accumulation), shop)
        order = dict(loop.plan.order())
        for number in batches:
            batch = batch_of(objective, loop.data, order[number], number)  # type: ignore[arg-type]
            loop.step(objective, batch, update=False)
        return [p.grad.clone() for p in loop.model.parameters() if p.grad is not None]

    both, one, two = gradients(2, (0, 1)), gradients(1, (0,)), gradients(1, (1,))
    for mean, first, second in zip(both, one, two, strict=True):
        torch.testing.assert_close(mean, (first + second) / 2, rtol=1e-4, atol=1e-6)


def test_the_feature_cache_needs_a_frozen_tower(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--cache-vision needs a frozen tower"):
        fit(replace(preset("tiny", 1), cache_vision=True), shop, tmp_path)


def frozen_tower(folder: Path) -> Path:
    from transformers import CLIPImageProcessor, ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    ViTModel(
        ViTConfig(**sizes, num_attention_heads=2, image_size=32, patch_size=16)
    ).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size=size, crop_size=size).save_pretrained(folder)
    return folder


def test_cached_features_train_like_pictures(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = str(frozen_tower(tmp_path / "tower"))
    config = replace(preset("tiny", 1), model=replace(preset("tiny", 1).model, vision=tower))
    fit(config, shop, tmp_path / "plain")
    cached = replace(config, cache_vision=True)
    fit(cached, shop, tmp_path / "cached")
    said = capsys.readouterr().err
    size = 24 * 5 * 16 * 2
    assert f"Features of 24 pictures will take {size / 1e6:.1f} MB" in said
    files = list((tmp_path / "cached").glob("vision-*"))
    assert [file.stat().st_size for file in files] == [size]
    for one, other in zip(
        lines(tmp_path / "plain" / "stage1"), lines(tmp_path / "cached" / "stage1"), strict=True
    ):
        assert one == pytest.approx(other, abs=2e-3)
    fit(cached, shop, tmp_path / "cached")
    assert "are read from" in capsys.readouterr().err
    stored = checkpoint.stored(checkpoint.load_model(tmp_path / "cached" / "stage1"))
    assert not [name for name in stored if name.startswith("vision.")]


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [schedule(step, 2000, 40_000) for step in range(40_000)]
    assert rates[0] == pytest.approx(1 / 2000)
    assert rates[1999] == rates[2000] == 1.0
    assert rates[21_000] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert np.argmax(rates) == 1999
    assert schedule(5, 2000, 60) == 1.0
    assert schedule(0, 10, 1) == 1.0


def test_matrices_decay_and_weights_from_scratch_have_their_own_rate() -> None:
    from trainer.config import MINILM
    from trainer.model.query_life import QueryLife

    config = preset("small", 1)
    model = QueryLife.build(replace(config.model, bert=MINILM, bert_layers=1))
    groups = build_optimizer(model, config).param_groups
    named = model.named_parameters()
    names = {id(value): name for name, value in named if value.requires_grad}
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1)
            known = names[id(parameter)].startswith(("encoder.layers.", "encoder.embeddings."))
            assert group["peak"] == (config.learning_rate if known else config.fresh_learning_rate)
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_a_log_goes_on_from_the_step_it_resumes_at(tmp_path: Path) -> None:
    with LossLog(tmp_path, 0) as log:
        for batch in range(5):
            log(batch, {"itc": batch / 3})
    with LossLog(tmp_path, 3) as log:
        log(3, {"itc": 9.0})
    assert [line["itc"] for line in lines(tmp_path)] == [0, 0.333333, 0.666667, 9.0]
