"""`trainer fit` under torchrun: a process killed in mid-run, and resumed to the unbroken end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.training import checkpoint

CONFIG = replace(preset("tiny", 2), epochs=10, batch_size=4, save_steps=5)
MARK = "TRAINER_TEST_RUN"
STEPS = 30  # of 12 rows
ENDING_SECONDS = 60.0  # a reader of pictures sees its parent's end within some seconds


def torchrun(db: Path, out: Path, *, processes: int = 2) -> subprocess.Popen[str]:
    """Start `trainer fit --resume` in processes that can be found by their mark."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words = ["-m", "trainer", "fit", "--stage", "2", "--resume", "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, *launch, *words, "--db", str(db), "--out", str(out), "--format", "json"],
        env=os.environ | {"OMP_NUM_THREADS": "1", MARK: str(out)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun(out: Path) -> Path:
    """Return the run's folder of a training that was killed before its first step."""
    return checkpoint.new_run(out / "stage2", CONFIG)


def members(out: Path) -> dict[int, str]:
    """The processes of a run, which torchrun puts in sessions of their own, with their ranks."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            pairs = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{MARK}={out}".encode() in pairs:
            ranks = [pair[5:].decode() for pair in pairs if pair.startswith(b"RANK=")]
            found[int(entry.name)] = ranks[0] if ranks else ""
    return found


def kill_rank_1_after_a_checkpoint(started: subprocess.Popen[str], out: Path) -> None:
    run = checkpoint.last_run(out / "stage2")
    assert run is not None
    while checkpoint.latest_step(run) is None:
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    ranked = [pid for pid, rank in members(out).items() if rank == "1"]
    os.kill(min(ranked), signal.SIGKILL)  # its readers of pictures are younger


def wait_until_all_ended(out: Path) -> None:
    end = time.monotonic() + ENDING_SECONDS
    while left := members(out):
        assert time.monotonic() < end, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop, an unbroken run of two processes, and one of which rank 1 was killed."""
    folder = tmp_path_factory.mktemp("torchrun")
    db = toy_shop(folder / "shop")
    begun(folder / "whole")
    with torchrun(db, folder / "whole") as started:
        answer, said = started.communicate()
    assert started.returncode == 0, said
    assert json.loads(answer)["steps"] == STEPS, "one process alone prints the answer"
    assert "best_epoch" not in json.loads(answer)
    run = begun(folder / "cut")
    with torchrun(db, folder / "cut") as started:
        kill_rank_1_after_a_checkpoint(started, folder / "cut")
        answer, said = started.communicate()
    assert started.returncode != 0
    assert answer == ""
    wait_until_all_ended(folder / "cut")
    step = checkpoint.latest_step(run)
    assert step is not None
    assert 0 < int(step.name.removeprefix("step-")) < STEPS
    assert not checkpoint.is_done(run.parent)
    return folder


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_model(out / "stage2").state_dict()


def logged(out: Path) -> list[dict[str, float]]:
    text = (checkpoint.current(out / "stage2") / "log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("processes", [2, 1])
def test_resumed_it_ends_as_the_unbroken_run(cut: Path, tmp_path: Path, processes: int) -> None:
    """By as many processes in the same bits, by another number within rounding."""
    shutil.copytree(cut / "cut" / "stage2", tmp_path / "stage2")
    with torchrun(cut / "shop" / "shop.duckdb", tmp_path, processes=processes) as started:
        _, said = started.communicate()
    assert started.returncode == 0, said
    assert "goes on from" in said
    wait_until_all_ended(tmp_path)
    one, two = weights(tmp_path), weights(cut / "whole")
    for name, value in two.items():
        if processes == 2:
            assert torch.equal(one[name], value), name
        else:
            torch.testing.assert_close(one[name], value, rtol=1e-2, atol=2e-3, msg=name)
    if processes == 2:
        assert logged(tmp_path) == logged(cut / "whole")
    assert [line["batch"] for line in logged(tmp_path)] == list(range(STEPS))
    names = sorted(path.name for path in (tmp_path / "stage2").iterdir())
    assert names == ["current", "run-0001"], "the arrays of the killed run are gone, too"
