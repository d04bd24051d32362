"""The experiment on a small shop: what is run, resumed, refused and concluded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genfilt.common.errors import UsageError, UserError
from tests.trainer.ablation.effect.test_arms import clicks_alone, truth_of
from tests.trainer.cli.test_trainer_app import run as command
from trainer.ablation.effect.arms import ARMS
from trainer.ablation.effect.effect_plan import RESULT, EffectResult, EffectSettings, Shop
from trainer.ablation.effect.effect_report import results_in, sentences, write_effect_report
from trainer.ablation.effect.effect_runs import run_effects
from trainer.ablation.effect.predictions import FIGURE, paired, predictions
from trainer.ablation.run_pool import LOG
from trainer.training.checkpoint import current, latest_stage, load_config, load_model

QUICK = EffectSettings(preset="tiny", epochs=(1, 2), batch_sizes=(12,))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Shop]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("effect")
    db, truth = clicks_alone(folder / "shop"), truth_of(folder / "truth.duckdb")
    shutil.copy(db, db.with_name("shop.paper.duckdb"))
    shop = Shop(db, truth)
    assert run_effects([shop], [0], folder / "out", QUICK) == len(ARMS)
    return folder / "out", shop


def test_every_arm_is_measured_warm_and_cold(done: tuple[Path, Shop]) -> None:
    results = {one.arm: one for one in results_in(done[0])}
    assert set(results) == {arm.key for arm in ARMS}
    for one in results.values():
        assert one.known_share == pytest.approx(1 / 3)
        for name in ("warm", "cold"):
            for score in ("Q->T", "Q->I", "Q->M"):
                assert 0 <= (one.figures[f"{name} {score} auc"] or 0) <= 1
                assert 0 <= (one.figures[f"{name} {score} recall"] or 0) <= 1
        assert one.figures["labels Q->M auc"] is not None
    assert results["oracle"].pairs > results["found"].pairs == results["drop"].pairs
    assert results["none"].pairs == 0


def test_arms_share_stage_1_and_differ_in_stage_2(done: tuple[Path, Shop]) -> None:
    folder = done[0] / "shop" / "seed-0" / "batch-12"
    weights = {arm.key: load_model(latest_stage(folder / arm.key)).state_dict() for arm in ARMS}
    configs = {arm.key: load_config(current(folder / arm.key / "stage2")) for arm in ARMS}
    assert configs["none"].without == ("genfilt",)
    assert configs["found"].without == ()
    assert configs["drop"].drop_corrections
    assert not configs["found"].drop_corrections

    def equal(one: str, other: str) -> bool:
        return all(torch.equal(v, weights[other][k]) for k, v in weights[one].items())

    assert equal("found", "paper")  # the copy has the same corrections
    # Every row's click is on a first copy, so the corrected copies never meet it in a batch.
    assert equal("none", "found")
    assert equal("none", "drop")
    assert not equal("none", "placebo")


def test_a_finished_run_is_kept_and_a_cut_one_made_again(
    done: tuple[Path, Shop], tmp_path: Path
) -> None:
    out, shop = done
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    assert run_effects([shop], [0], copy, QUICK) == 0
    cut = copy / "shop" / "seed-0" / "batch-12" / "oracle"
    before = EffectResult.read(cut / RESULT)
    shutil.rmtree(cut)
    assert run_effects([shop], [0], copy, QUICK) == 1
    assert replace(EffectResult.read(cut / RESULT), minutes=0) == replace(before, minutes=0)


def test_cells_side_by_side_give_what_one_after_the_other_does(
    done: tuple[Path, Shop], tmp_path: Path
) -> None:
    out, shop = done
    arms = ("none", "placebo")
    assert run_effects([shop], [0, 1], tmp_path, replace(QUICK, arms=arms), jobs=2) == 4
    for arm in arms:
        path = Path("shop", "seed-0", "batch-12", arm, RESULT)
        made, before = EffectResult.read(tmp_path / path), EffectResult.read(out / path)
        assert replace(made, minutes=0) == replace(before, minutes=0)
    log = tmp_path / "shop" / "seed-1" / "batch-12" / LOG
    assert "seed 1, batches of 12: placebo" in log.read_text("utf-8")


def test_other_settings_are_refused(done: tuple[Path, Shop]) -> None:
    out, shop = done
    with pytest.raises(UsageError, match="another epochs"):
        run_effects([shop], [0], out, replace(QUICK, epochs=(2, 2)))
    with pytest.raises(UsageError, match="given twice"):
        EffectSettings(epochs=(1, 1, 1))
    with pytest.raises(UsageError, match="--arm must be one of none"):
        EffectSettings(arms=("all",))


def made(arm: str, value: float, shop: int, size: int = 512, known: float = 0.04) -> EffectResult:
    figures: dict[str, float | None] = {FIGURE: value + 0.001 * shop}
    return EffectResult(arm, f"one-{shop}", 0, size, 10, known, 4.0, 1.0, figures)


AS_PREDICTED = {"none": 0.8, "drop": 0.82, "found": 0.84, "oracle": 0.86, "placebo": 0.7}


def results(values: dict[str, float], size: int = 512, known: float = 0.04) -> list[EffectResult]:
    return [
        made(arm, value + 0.0003 * (shop % 2) * (arm != "none"), shop, size, known)
        for shop in range(5)
        for arm, value in values.items()
    ]


def test_predictions_hold_where_the_method_is_right() -> None:
    small = {arm: 0.8 + (value - 0.8) / 2 for arm, value in AS_PREDICTED.items()}
    found = predictions(results(AS_PREDICTED) + results(small, size=64))
    assert [one.conclusion for one in found] == ["holds"] * 7


def test_predictions_are_contradicted_where_it_is_wrong() -> None:
    turned = {arm: 1.6 - value for arm, value in AS_PREDICTED.items()}
    found = predictions(results(turned))
    assert [one.conclusion for one in found] == ["contradicted"] * 6
    level = predictions(results(dict.fromkeys(AS_PREDICTED, 0.8)))
    assert level[0].conclusion == "contradicted"  # the oracle's gain is below 0.005
    assert predictions(results(AS_PREDICTED, known=0.6))[0].conclusion == "not run"
    assert predictions(results({"none": 0.8}))[1].conclusion == "not run"
    two = [one for one in results(AS_PREDICTED) if one.shop in ("one-0", "one-1")]
    assert predictions(two)[1].conclusion == "not shown"  # no interval from two shops


def test_differences_are_paired_by_shop() -> None:
    gap = paired(results({"none": 0.8, "found": 0.84}), "found", "none")
    assert gap is not None
    assert gap.runs == 5
    assert gap.value == pytest.approx(0.04 + 0.0003 * 0.4)
    assert gap.half is not None
    assert gap.half < 0.001  # though shops differ by 0.004


def test_the_report_ends_in_three_sentences(done: tuple[Path, Shop], tmp_path: Path) -> None:
    closing = write_effect_report(done[0], tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text("utf-8")
    assert text.rstrip().endswith("\n".join(closing))
    assert closing[0] == "Your log holds 33% of the relevant train pairs."
    assert "In random batches of 12 rows" in closing[1]
    assert "GenFilt changed the AUC of Q->M" in closing[2]
    for arm in ARMS:
        assert f"| {arm.key} |" in text
    assert "### Predictions" in text
    assert "nan" not in text
    with pytest.raises(UserError, match="no finished run"):
        results_in(tmp_path)


def test_sentences_say_whether_to_expect_more() -> None:
    few = sentences(results(AS_PREDICTED))
    assert "4%" in few[0]
    assert few[2].endswith("finds more pairs.")
    assert "+0.040" in few[2]
    much = sentences(results(AS_PREDICTED, known=0.7))
    assert "little more is to be expected" in much[2]


def test_the_command_runs_on_a_database_without_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db = clicks_alone(tmp_path / "own")
    words = ["ablate", "--design", "genfilt", "--db", db, "--out", tmp_path / "out"]
    quick = ["--preset", "tiny", "--seeds", 1, "--epochs", 1, "--epochs", 1, "--batch-size", 12]
    quick += ["--jobs", 2]
    assert command(monkeypatch, *words, *quick) == 0
    assert len(list((tmp_path / "out").rglob(LOG))) == 1  # another process made the cell
    captured = capsys.readouterr()
    assert "Your log holds 50% of the train pairs known or found to be relevant." in captured.err
    arms = {json.loads(path.read_text())["arm"] for path in tmp_path.glob(f"out/**/{RESULT}")}
    assert arms == {"none", "drop", "found"}
    report = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "Not run: paper, oracle, wrong, placebo." in report
    assert command(monkeypatch, *words, *quick, "--truth", db, "--truth", db) == 2
