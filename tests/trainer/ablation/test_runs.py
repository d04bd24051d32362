"""Runs of the ablation: finished once, resumed, side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

from genfilt.common.errors import UsageError, UserError
from tests.trainer.ablation.small_ablation import (
    KEYS,
    QUICK,
    UNTRAINED,
    benchmark_of,
    killed,
    measures,
    stamps,
)
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.ablation.database_content import (
    content_of,
    generated_texts,
    stages_of,
)
from trainer.ablation.evidence import run_groups
from trainer.ablation.models import BASELINES, FULL, MODELS, VARIANTS
from trainer.ablation.plan import AblationSettings, Unit, units_in
from trainer.ablation.run_pool import side_by_side
from trainer.ablation.run_result import MEASURED, SCORES, RunResult
from trainer.ablation.runs import Bench, run_all, shares_first_stage
from trainer.ablation.scores import Scores
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.scorers import pairs_of
from trainer.training.checkpoint import current, is_done, load_model
from trainer.training.fit import fit


def test_a_finished_run_is_not_computed_again(done: tuple[Path, Path], tmp_path: Path) -> None:
    out, db = done
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    before = stamps(copy / "shop" / "seed-0")
    settings = AblationSettings(preset="tiny", epochs=(1, 1, 1))
    assert run_all([db], [0], copy, settings) == 0
    assert stamps(copy / "shop" / "seed-0") == before


def test_what_was_cut_off_is_made_as_it_would_have_been(
    done: tuple[Path, Path], tmp_path: Path
) -> None:
    out, db = done
    run_all([db], [0], tmp_path, QUICK)
    again = tmp_path / "shop" / "seed-0" / "without-qma"
    (again / MEASURED).unlink()
    shutil.rmtree(again / "stage3")
    shutil.rmtree(again / "stage2")
    shutil.rmtree(again / "stage1")
    # The whole model's stage 1 is gone as well: what remains to be run is trained from what is.
    whole = tmp_path / "shop" / "seed-0" / FULL
    assert not is_done(whole / "stage1")
    shutil.rmtree(whole)
    assert run_all([db], [0], tmp_path, QUICK) == 2
    for key in KEYS:
        assert measures(tmp_path, key) == measures(out, key)


def test_side_by_side_gives_what_one_after_the_other_does(
    done: tuple[Path, Path], tmp_path: Path
) -> None:
    out, db = done
    assert run_all([db], [0, 1], tmp_path, QUICK, jobs=2) == 2 * len(KEYS)
    for key in KEYS:
        assert measures(tmp_path, key) == measures(out, key)
    assert "stage 3" in (tmp_path / "shop" / "seed-1" / "log.txt").read_text("utf-8")


def test_a_fault_beside_others_is_reported(done: tuple[Path, Path], tmp_path: Path) -> None:
    _, db = done
    none = tmp_path / "none.duckdb"
    with pytest.raises(UserError, match="none.duckdb"):
        run_all([db], [0, 1], tmp_path, QUICK, [none], jobs=2)


def test_a_killed_process_is_reported_in_a_sentence(tmp_path: Path) -> None:
    unit = Unit(tmp_path / "shop" / "seed-0", tmp_path / "shop.duckdb", 0)
    with pytest.raises(UserError, match="fewer --jobs"):
        list(side_by_side(killed, [unit], 2))


def test_other_settings_are_refused(done: tuple[Path, Path]) -> None:
    out, db = done
    with pytest.raises(UsageError, match="another epochs"):
        run_all([db], [0], out, AblationSettings(preset="tiny", epochs=(2, 1, 1)))
    with pytest.raises(UsageError, match="given 2 times"):
        AblationSettings(epochs=(1, 2))
    with pytest.raises(UsageError, match="--preset"):
        AblationSettings(preset="huge")


def test_models_are_measured_as_by_evaluate(done: tuple[Path, Path], tmp_path: Path) -> None:
    out, db = done
    shutil.copytree(out / "shop" / "seed-0" / FULL, tmp_path / "run")
    expected = evaluate(tmp_path / "run", db).to_dict()
    found = measures(out, FULL)
    beside = {"model", "split", "image_weight", "candidates", "config"}
    assert set(found) == {*SCORES, *beside, "parameters", "image_weight_by_type"}
    own = {"model", "parameters", "image_weight_by_type"}
    assert all(found[name] == expected[name] for name in found if name not in own)
    for key in ("bm25", "sentence-embeddings"):
        (untrained,) = (row for row in UNTRAINED if UNTRAINED[row] == key)
        assert measures(out, key)["Q->T"] == expected["untrained"][untrained]  # type: ignore[index]


def test_stage_1_is_shared_where_nothing_in_it_is_left_out(tmp_path: Path) -> None:
    db = toy_shop(tmp_path / "plain")
    with_match = tmp_path / "match.duckdb"
    with Shop(with_match) as shop:
        picture = draw(tmp_path / "a.jpg", "red", "ring")
        other = draw(tmp_path / "b.jpg", "red", "bar")
        shop.product("a", "ring", picture, texts=("ring", "a ring"))
        shop.product("b", "bar", other, texts=("bar", "a bar"))
        shop.match(0, 0)  # a product's own title is positive without it
        shop.match(0, 1)
    by_key = {variant.key: variant for variant in VARIANTS}
    for key, plain, matched in (
        ("without-qma", True, True),
        ("without-qmf", False, False),
        ("without-genfilt", True, False),
    ):
        assert shares_first_stage(by_key[key], db) is plain
        assert shares_first_stage(by_key[key], with_match) is matched
    weights = []
    for key in (FULL, "without-qma", "without-genfilt", "without-qmf"):
        fit(QUICK.config(1, 0, by_key[key].without), db, tmp_path / key)
        weights.append(load_model(tmp_path / key / "stage1").state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])
        assert torch.equal(value, weights[2][name])
    assert any(not torch.equal(value, weights[3][name]) for name, value in weights[0].items())


def test_only_the_last_stage_keeps_its_weights(done: tuple[Path, Path]) -> None:
    out, _ = done
    for key in KEYS:
        run = out / "shop" / "seed-0" / key
        kept = [stage for stage in (1, 2, 3) if is_done(run / f"stage{stage}")]
        assert kept == [3]
        assert (current(run / "stage3") / "log.jsonl").exists()


def test_stages_are_those_with_rows(tmp_path: Path) -> None:
    assert stages_of(toy_shop(tmp_path / "all")) == (1, 2, 3)
    with Shop(tmp_path / "clicks.duckdb") as shop:
        shop.query("q", "ring")
        shop.product("a", "ring", draw(tmp_path / "a.jpg", "red", "ring"))
        shop.click("q", "a")
    assert stages_of(tmp_path / "clicks.duckdb") == (1, 2)


def test_scores_are_kept_as_they_are(tmp_path: Path) -> None:
    benchmark = benchmark_of(np.random.default_rng(0))
    queries, products = pairs_of(benchmark)
    values = {name: np.random.default_rng(1).normal(size=len(queries)) for name in ("Q->T", "Q->M")}
    Scores(queries, products, values).save(tmp_path)
    found = Scores.load(tmp_path)
    assert found.widest == "Q->M"
    for name, value in values.items():
        np.testing.assert_array_equal(found.values[name], value)
        np.testing.assert_array_equal(found.scorers()[name](queries, products), value)


def test_units_are_found_again(done: tuple[Path, Path]) -> None:
    out, db = done
    (unit,) = units_in(out)
    assert (unit.db, unit.seed, unit.group) == (db.resolve(), 0, "shop")
    assert content_of(db).labels > 0
    assert content_of(db).query_product_corrections == 0  # the labels know all 12
    assert {row.title for row in generated_texts(db)} <= {
        f"{shape} model {n}" for shape in ("ring", "bar", "cross") for n in range(3)
    }


def test_an_unfinished_unit_is_left_out(
    done: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    shutil.copytree(done[0] / "shop" / "seed-0", tmp_path / "out" / "shop" / "seed-1")
    (tmp_path / "out" / "shop" / "seed-1" / "clip" / MEASURED).unlink()
    (group,) = run_groups(tmp_path / "out")
    assert [unit.seed for unit in group.units] == [0]
    assert "seed-1 is not finished" in capsys.readouterr().err


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no finished run"):
        run_groups(tmp_path)


def test_counts_are_of_corrections_that_training_can_use(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "ring")
        for name, split in (("a", "train"), ("b", "train"), ("c", "val"), ("d", "train")):
            shop.product(name, f"ring {name}", split=split, texts=(f"ring {name}", None))
        shop.click("q", "a")
        shop.label("q", "d", 0, "val")
        for name in "abcd":
            shop.correct(q, shop.feature(f"ring {name}", None))
    # a is known, c is no train product, d has a held-out label: b alone is new to training.
    assert content_of(tmp_path / "shop.duckdb").query_product_corrections == 1


def test_the_models_stand_once(done: tuple[Path, Path]) -> None:
    (group,) = run_groups(done[0])
    assert group.keys == [model.key for model in MODELS]
    assert list(AblationSettings().compared()) == [model.key for model in BASELINES]
    for key in group.keys:
        result = group.units[0].result(key)
        assert RunResult.read(group.units[0].run(key)) == result
        assert (result.config is None) == (key not in KEYS)


def test_a_database_without_val_can_be_measured_on_another_split(tmp_path: Path) -> None:
    db = toy_shop(tmp_path / "shop")
    with duckdb.connect(str(db)) as connection:
        for name in ("clicks", "labels"):
            connection.execute(f"DELETE FROM {name} WHERE split = 'val'")
    bench = Bench.read(db, "train")
    assert bench.val is None
    assert bench.material(0).val is None
    with pytest.raises(UserError, match="no click and no label of split 'val'"):
        Bench.read(db, "val")
