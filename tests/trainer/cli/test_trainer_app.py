"""The command: what it prints where, how it ends, and that it does as it says."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.cli.app import main
from trainer.cli.fit_command import choose
from trainer.config import ModelConfig, preset
from trainer.evaluation.legend import ABBREVIATIONS
from trainer.model.query_life import QueryLife
from trainer.training import checkpoint


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("cli"))


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["trainer", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_three_stages_and_an_evaluation(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GENFILT_DB", str(shop))
    out = tmp_path / "run"
    small = ("--out", out, "--epochs", 1, "--batch-size", 12, "--seed", 3)
    code = run(monkeypatch, "fit", "--stage", 1, "--preset", "tiny", *small, "--format", "json")
    printed = capsys.readouterr()
    assert code == 0
    answer = json.loads(printed.out)
    assert answer["stage"] == 1
    assert answer["rows"] == 24
    assert answer["losses"].keys() == {"itc", "itm"}
    for name in ("itc", "itm"):
        assert f"\n{name}: {ABBREVIATIONS[name]}" in printed.err
    assert "stage 1" in printed.err
    assert run(monkeypatch, "fit", "--stage", 2, *small, "--without", "qma", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["query_product_corrections"] == "0"  # labels know all twelve
    assert {"itc", "itm", "qmm"} <= row.keys()
    assert "qmc" not in row
    config = checkpoint.load_config(out / "stage2")
    assert (config.preset, config.seed, config.without) == ("tiny", 3, ("qma",))
    more = ("--without", "genfilt", "--cross-query")
    code = run(monkeypatch, "fit", "--stage", 3, *small, *more)
    printed = capsys.readouterr()
    assert code == 0
    assert "trained without genfilt with 0 corrections" in printed.err
    assert "rows" in printed.out
    assert "qmx" in printed.out
    assert run(monkeypatch, "evaluate", "--out", out, "--format", "json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert 0 <= metrics["Q->M"]["auc"] <= 1
    assert metrics["config"]["stage"] == 3
    assert run(monkeypatch, "evaluate", "--out", out) == 0
    printed = capsys.readouterr()
    assert "Q->M" in printed.out
    assert "stage3, trained without genfilt with 0 corrections" in printed.err


def test_skipped_pictures_end_in_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        for n in range(4):
            shop.product(f"p{n}", f"title {n}", draw(tmp_path / f"{n}.jpg", "red", "bar", n))
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    words = ("--stage", 1, "--preset", "tiny", "--db", tmp_path / "shop.duckdb")
    assert run(monkeypatch, "fit", *words, "--epochs", 1, "--out", tmp_path / "run") == 3
    assert "p2" in (checkpoint.current(tmp_path / "run" / "stage1") / "skipped.json").read_text()
    assert "skipped.json lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("fit", "--stage", "4"), 2, "--stage is 4; give 1, 2 or 3."),
        (("fit", "--stage", "1", "--preset", "big"), 2, "'big' is not one of"),
        (("fit", "--stage", "1", "--batch-size", "1"), 2, "--batch-size is 1"),
        (("fit", "--stage", "1", "--epochs", "0"), 2, "--epochs is 0; give 1 or more."),
        (("fit", "--stage", "1", "--preset", "tiny", "--cache-vision"), 2, "frozen tower"),
        (("fit", "--stage", "1", "--db", "/no/such.duckdb"), 1, "no database at /no/such.duckdb"),
        (("fit", "--stage", "1", "--vision", "/no/tower"), 1, "/no/tower"),
        (("fit", "--stage", "1", "--bert", "/no/bert"), 1, "/no/bert"),
        (("evaluate", "--out", "/no/run"), 1, "no trained stage in /no/run"),
    ],
)
def test_a_fault_is_one_sentence_and_an_exit_code(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setenv("GENFILT_DB", str(shop))
    out = () if "--out" in words else ("--out", tmp_path)
    assert run(monkeypatch, *words, *out) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith("trainer: ")
    assert sentence in last
    assert "Traceback" not in printed.err


def test_wrong_words_end_in_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "fit") == 2
    assert "--stage" in capsys.readouterr().err
    assert run(monkeypatch, "fit", "--stage", "1", "--without", "everything") == 2


def test_a_checkpoint_of_another_shape_is_one_sentence(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = replace(preset("tiny", 1), model=ModelConfig(embed_dim=16))
    checkpoint.save_stage(tmp_path / "stage1", QueryLife.build(config.model), config)
    words = ("--stage", 2, "--preset", "tiny", "--db", shop, "--out", tmp_path)
    assert run(monkeypatch, "fit", *words) == 1
    assert "has another shape than the model" in capsys.readouterr().err


def test_the_stage_before_decides_the_preset_and_the_model(tmp_path: Path) -> None:
    assert choose(1, tmp_path, None, {}) == preset("small", 1)
    before = replace(preset("tiny", 1), model=ModelConfig(embed_dim=16), seed=5)
    checkpoint.save_stage(tmp_path / "stage1", QueryLife.build(before.model), before)
    made = choose(2, tmp_path, None, {"epochs": 7})
    assert made == replace(preset("tiny", 2), model=before.model, epochs=7)
    assert choose(2, tmp_path, "paper", {}) == preset("paper", 2)
    assert choose(3, tmp_path, None, {}) == preset("small", 3)


def test_resume_takes_the_checkpoints_options_and_refuses_others(tmp_path: Path) -> None:
    from trainer.training.optim import build_optimizer

    config = replace(preset("tiny", 1), seed=5, epochs=9)
    model = QueryLife.build(config.model)
    run = checkpoint.new_run(tmp_path / "stage1", config)
    checkpoint.save_step(run, model, build_optimizer(model, config), config, {"step": 2})
    assert choose(1, tmp_path, None, {}, resume=True) == config
    assert choose(1, tmp_path, "tiny", {"seed": 5}, resume=True) == config
    for name, chosen in ((None, {"seed": 6}), ("small", {}), (None, {"vision": "x"})):
        with pytest.raises(UsageError, match="made with other options"):
            choose(1, tmp_path, name, chosen, resume=True)
    assert choose(1, tmp_path, "tiny", {"seed": 6}) == replace(preset("tiny", 1), seed=6)


def test_the_rate_of_fresh_weights_changes_as_that_of_a_checkpoint_does(tmp_path: Path) -> None:
    made = choose(2, tmp_path, "small", {"lr": 1e-4})
    small = preset("small", 2)
    assert made.learning_rate == 1e-4
    ratio = small.fresh_learning_rate / small.learning_rate
    assert made.fresh_learning_rate == pytest.approx(1e-4 * ratio)
    run = checkpoint.new_run(tmp_path / "stage2", made)
    assert run.is_dir()
    assert choose(2, tmp_path, None, {"lr": 1e-4}, resume=True) == made


def test_evaluate_explains_itself_and_names_unreadable_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db = toy_shop(tmp_path / "shop")
    words = ("--db", db, "--out", tmp_path / "run")
    assert run(monkeypatch, "fit", "--stage", 1, "--preset", "tiny", "--epochs", 1, *words) == 0
    (tmp_path / "shop" / "red-ring-2.jpg").write_bytes(b"no picture")
    capsys.readouterr()
    assert run(monkeypatch, "evaluate", *words, "--format", "csv") == 3
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert {row["queries"] for row in rows} == {"all", "seen words"}
    assert {"BM25", "untrained all-MiniLM-L6-v2", "Q->M"} <= {row["score"] for row in rows}
    assert "Q->M is the model's score" in printed.err
    assert f"gauc: {ABBREVIATIONS['gauc']}" in printed.err
    assert "The pictures of red-ring-2 cannot be read" in printed.err
