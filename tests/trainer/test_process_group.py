"""Two processes that share a run: what rank 0 decides holds, and results are those of one."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as spawning

from genfilt.common.errors import UsageError
from tests.trainer.model.test_vision import blip2
from tests.trainer.shop import toy_shop
from tests.trainer.test_distributed import free_port, join
from trainer.config import FitConfig, preset
from trainer.evaluation.evaluate import evaluate
from trainer.process_group import joined, my_part, on_main
from trainer.serving.relevance_model import RelevanceModel
from trainer.serving.vectors import write_vectors
from trainer.training import checkpoint
from trainer.training.fit import RunOptions, fit

CPU = RunOptions("cpu")
SHORT = replace(preset("tiny", 2), epochs=2, batch_size=6, save_steps=1)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def with_tower(folder: Path) -> FitConfig:
    """Stage 1 on the cached features of a frozen tower."""
    model = replace(preset("tiny", 1).model, vision=str(blip2(folder / "tower")))
    return replace(preset("tiny", 1), model=model, epochs=1, cache_vision=True)


def run_all(db: Path, folder: Path, tower: FitConfig) -> None:
    """Train two stages, measure them, and write a catalogue's vectors and features."""
    fit(replace(SHORT, stage=1), db, folder, options=CPU)
    fit(SHORT, db, folder, options=CPU)
    metrics = evaluate(folder, db).to_dict()
    (folder / f"metrics-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(metrics))
    write_vectors(RelevanceModel.from_run(folder, "cpu"), db, folder / "vectors.parquet")
    fit(tower, db, folder / "cached", options=CPU)


def half(rank: int, port: int, db: Path, folder: Path, tower: FitConfig) -> None:
    join(rank, port)
    with joined(cpu=True):
        run_all(db, folder, tower)
        assert dist.is_initialized(), "the group belongs to its maker"
        with joined(cpu=True):
            pass
        assert dist.is_initialized(), "an inner block has joined nothing"
        with pytest.raises(UsageError, match="rank 0 says so"):
            on_main(lambda: refuse(rank))
    assert not dist.is_initialized()


def refuse(rank: int) -> None:
    raise UsageError(f"rank {rank} says so")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of one process's run and of two processes'."""
    folder = tmp_path_factory.mktemp("group")
    db, tower = toy_shop(folder / "shop", copies=6), with_tower(folder)
    for name in ("one", "two"):
        (folder / name).mkdir()
    spawning.spawn(half, args=(free_port(), db, folder / "two", tower), nprocs=2)
    run_all(db, folder / "one", tower)
    return folder / "one", folder / "two"


def test_two_processes_train_the_weights_of_one(runs: tuple[Path, Path]) -> None:
    for stage in ("stage1", "stage2"):
        one, two = (checkpoint.load_model(run / stage).state_dict() for run in runs)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-4, msg=name)


def test_no_array_of_a_run_is_left_behind(runs: tuple[Path, Path]) -> None:
    for run in runs:
        assert sorted(path.name for path in (run / "stage2").iterdir()) == ["current", "run-0001"]
        assert not list(run.rglob("*.part")) + list(run.glob("evaluation-data"))


def test_two_processes_measure_what_one_measures(runs: tuple[Path, Path]) -> None:
    """Both measure the two processes' weights."""
    told = [json.loads((runs[1] / f"metrics-{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0] == told[1]
    one = evaluate(runs[1], runs[0].parent / "shop" / "shop.duckdb").to_dict()
    for name in ("Q->T", "Q->I", "Q->T+Q->I", "Q->M", "untrained"):
        assert flat(told[0][name]) == pytest.approx(flat(one[name]), abs=1e-5), name
    assert told[0].keys() == one.keys()


def flat(values: object, name: str = "") -> dict[str, object]:
    """Return nested figures under their paths."""
    if not isinstance(values, dict | list | tuple):
        return {name: values}
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    return {k: v for key, value in pairs for k, v in flat(value, f"{name}/{key}").items()}


def test_vectors_of_two_processes_are_those_of_one(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Both by the two processes' weights, so that the encoding alone is compared."""
    db = runs[0].parent / "shop" / "shop.duckdb"
    write_vectors(RelevanceModel.from_run(runs[1], "cpu"), db, tmp_path / "vectors.parquet")
    here, there = (
        pq.read_table(path / "vectors.parquet").to_pydict() for path in (tmp_path, runs[1])
    )
    assert there["product_id"] == here["product_id"]
    assert len(here["product_id"]) > 64, "else one of the two had nothing to do"
    assert np.allclose(there["vector"], here["vector"], atol=1e-5)


def test_cached_features_of_two_processes_are_those_of_one(runs: tuple[Path, Path]) -> None:
    one, two = (next((run / "cached").glob("vision-*.f16")) for run in runs)
    assert one.name == two.name
    here, there = (np.fromfile(path, np.float16).astype(np.float32) for path in (one, two))
    assert np.isfinite(here).all()
    assert np.allclose(here, there, atol=1e-2)  # of half precision, batches cut elsewhere


def blind(rank: int, port: int, db: Path, folder: Path, config: FitConfig) -> None:
    """Resume in two processes, of which the second one sees no checkpoint."""
    join(rank, port)
    if rank == 1:
        for name in ("last_run", "latest_step", "load_step", "load_config", "is_done"):
            setattr(checkpoint, name, lambda *_: pytest.fail("rank 1 looks for itself"))
    summary = fit(config, db, folder, resume=True, options=CPU)
    (folder / f"summary-{rank}.json").write_text(json.dumps(asdict(summary)))
    dist.destroy_process_group()


def test_what_rank_0_resumes_all_resume(tmp_path: Path) -> None:
    db = toy_shop(tmp_path / "shop")
    whole = fit(SHORT, db, tmp_path / "whole", options=CPU)
    run = checkpoint.new_run(tmp_path / "cut" / "stage2", SHORT)
    child = os.fork()
    if not child:  # ends after the first of four steps
        checkpoint.save_step = kill_after_first(checkpoint.save_step)  # type: ignore[assignment]
        fit(SHORT, db, tmp_path / "cut", resume=True, options=CPU)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert checkpoint.latest_step(run) is not None
    spawning.spawn(blind, args=(free_port(), db, tmp_path / "cut", SHORT), nprocs=2)
    told = [json.loads((tmp_path / "cut" / f"summary-{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0]["losses"] == told[1]["losses"] == pytest.approx(whole.losses, abs=2e-3)
    one, two = (
        checkpoint.load_model(tmp_path / name / "stage2").state_dict() for name in ("whole", "cut")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-4, msg=name)


def kill_after_first(save):  # type: ignore[no-untyped-def]
    def saved(*given: object) -> None:
        save(*given)
        os._exit(9)

    return saved


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 4), (9, 4), (64, 64), (130, 64), (7, 1)])
def test_parts_of_processes_make_the_whole(
    monkeypatch: pytest.MonkeyPatch, count: int, size: int
) -> None:
    for number in (1, 2, 3, 5):
        seen: list[int] = []
        for rank in range(number):
            monkeypatch.setattr("trainer.process_group.processes", lambda r=rank, n=number: (r, n))
            part = my_part(count, size)
            assert part.start % size == 0 or part.start == count
            seen += range(count)[part]
        assert seen == list(range(count))
