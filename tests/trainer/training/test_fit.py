"""Beginning, resuming and finishing a stage: what is read is one run's, whatever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genfilt.common.errors import UsageError, UserError
from tests.trainer.model.test_vision import blip2
from tests.trainer.shop import toy_shop
from trainer.config import FitConfig, preset
from trainer.training import checkpoint
from trainer.training.fit import fit, starting_point
from trainer.training.run_log import Summary

ONE = replace(preset("tiny", 1), epochs=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("fit"))


def test_retraining_cut_off_before_its_first_checkpoint_is_not_finished(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fit(ONE, shop, tmp_path)
    folder, other = tmp_path / "stage1", replace(ONE, seed=7)
    before = checkpoint.load_model(folder).state_dict()
    checkpoint.new_run(folder, other)  # as a training that is killed at once leaves it
    assert checkpoint.load_config(folder) == ONE
    assert Summary.read(folder) == first
    with pytest.raises(UsageError, match="seed was 7, now 0"):
        fit(ONE, shop, tmp_path, resume=True)
    capsys.readouterr()
    fit(other, shop, tmp_path, resume=True)
    assert "finished already" not in capsys.readouterr().err
    assert checkpoint.load_config(folder) == other
    after = checkpoint.load_model(folder).state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    assert [path.name for path in folder.glob("run-*")] == ["run-0002"]


def test_other_options_than_those_of_a_finished_stage_are_refused(
    shop: Path, tmp_path: Path
) -> None:
    fit(ONE, shop, tmp_path)
    with pytest.raises(UsageError, match="epochs was 1, now 2"):
        fit(replace(ONE, epochs=2), shop, tmp_path, resume=True)


def train_until_rename(number: int, config: FitConfig, db: Path, out: Path) -> int:
    """Train in a forked process that ends before the given rename; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    renames = iter(range(1, number))
    rename = Path.replace

    def counted(self: Path, target: Path) -> Path:
        if next(renames, None) is None:
            os._exit(9)
        return rename(self, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]
    try:
        fit(config, db, out)
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_a_kill_at_any_rename_leaves_one_runs_weights_with_its_configuration(
    shop: Path, tmp_path: Path
) -> None:
    """Whatever is written takes its name by a rename; each of them is the last one once."""
    old, new, out = (tmp_path / name for name in ("old", "new", "cut"))
    other = replace(ONE, seed=7, save_steps=1)
    fit(ONE, shop, old)
    fit(other, shop, new)
    weights = {0: load(old), 7: load(new)}
    for number in range(1, 60):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(old, out)
        code = train_until_rename(number, other, shop, out)
        config = checkpoint.load_config(out / "stage1")
        assert config in (ONE, other)
        assert same(load(out), weights[config.seed]), number
        assert Summary.read(out / "stage1").rows == 24
        if code == 0:
            assert number > 8
            assert config == other
            return
        assert code == 9
    raise AssertionError("the training never ended")


def load(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_model(out / "stage1").state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_half_removed_step_is_not_resumed(shop: Path, tmp_path: Path) -> None:
    run = checkpoint.new_run(tmp_path / "stage1", ONE)
    (run / "step-00000003").mkdir()
    (run / "step-00000003" / "model.safetensors").write_bytes(b"rest")
    assert starting_point(tmp_path / "stage1", ONE).step is None
    assert fit(ONE, shop, tmp_path, resume=True).rows == 24


def test_what_a_kill_after_the_end_leaves_is_removed_by_resuming(
    shop: Path, tmp_path: Path
) -> None:
    made = fit(ONE, shop, tmp_path)
    run = checkpoint.current(tmp_path / "stage1")
    for folder in (run / "step-00000002", tmp_path / "stage1" / "data"):
        folder.mkdir()
    (run / "best-0001.safetensors").touch()
    assert fit(ONE, shop, tmp_path, resume=True) == made
    assert sorted(path.name for path in run.parent.iterdir()) == ["current", "run-0001"]
    assert not list(run.glob("step-*")) + list(run.glob("best-*"))


def test_a_folder_of_version_0_1_is_still_read(tmp_path: Path) -> None:
    run = checkpoint.save_stage(tmp_path / "new" / "stage1", built(ONE), ONE)
    flat = tmp_path / "old" / "stage1"
    shutil.copytree(run, flat)
    assert checkpoint.latest_stage(tmp_path / "old") == flat
    assert checkpoint.load_config(flat) == ONE
    assert same(checkpoint.load_model(flat).state_dict(), load(tmp_path / "new"))


def built(config: FitConfig):
    from trainer.model.query_life import QueryLife

    return QueryLife.build(config.model)


def test_weights_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        checkpoint.write_weights({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


LIMITED = """
import resource, signal, sys
from trainer.cli.app import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
main()
"""


@pytest.mark.parametrize("limit", [10, 3_000_000])
def test_a_full_disk_is_one_sentence(shop: Path, tmp_path: Path, limit: int) -> None:
    """At a limit of the file size the system refuses to write on, as it does on a full disk."""
    words = ["fit", "--stage", "1", "--preset", "tiny", "--db", str(shop), "--out", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("trainer: ")
    assert "File too large" in last or "limit on file sizes" in last
    assert not checkpoint.is_done(tmp_path / "stage1")


def test_a_file_in_the_place_of_the_folder_is_one_sentence(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "stage1").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        fit(ONE, shop, tmp_path)


def test_without_a_loss_on_m_its_projection_follows_the_texts(shop: Path, tmp_path: Path) -> None:
    fit(ONE, shop, tmp_path)
    made = checkpoint.load_model(tmp_path / "stage1")
    torch.manual_seed(ONE.seed)
    began = built(ONE).text_projection.weight
    assert not torch.equal(made.text_projection.weight, began)
    assert torch.equal(made.fused_projection.weight, made.text_projection.weight)
    fit(replace(preset("tiny", 2), epochs=1), shop, tmp_path)
    made = checkpoint.load_model(tmp_path / "stage2")
    assert not torch.equal(made.fused_projection.weight, made.text_projection.weight)


def test_a_step_of_the_papers_structure(shop: Path, tmp_path: Path) -> None:
    """12 layers with cross-attention in each, and a frozen tower of BLIP-2's kind, all small."""
    tower = str(blip2(tmp_path / "tower"))
    paper = preset("paper", 2)
    small = {"bert": None, "num_layers": 12, "hidden_size": 32, "num_heads": 2, "embed_dim": 16}
    config = replace(
        paper, model=replace(paper.model, vision=tower, **small), epochs=1, batch_size=12, workers=1
    )
    fit(replace(config, stage=1), shop, tmp_path)
    made = fit(config, shop, tmp_path)
    assert made.losses.keys() == {"itc", "itm", "qic", "qtc", "qmc", "qmm"}
    one, two = (checkpoint.load_model(tmp_path / f"stage{stage}") for stage in (1, 2))
    assert len(two.encoder.layers) == len(two.encoder.cross) == 12
    before = dict(one.named_parameters())
    moved = {n for n, value in two.named_parameters() if not torch.equal(value, before[n])}
    assert all(f"encoder.cross.{n}.output.weight" in moved for n in range(12))
    assert not [name for name in moved if name.startswith("vision.")]
    stored = json.loads((checkpoint.current(tmp_path / "stage2") / "config.json").read_text())
    assert stored["preset"] == "paper"
