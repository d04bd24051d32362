"""Ablations: what is run and what is not run again, comparisons, and the report of it all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import t

from genfilt.common.arrays import Floats
from genfilt.common.errors import UsageError, UserError
from tests.trainer.cli.test_trainer_app import run as command
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.ablation import figures, runs
from trainer.ablation.ablation_report import write_report
from trainer.ablation.compare import JudgedRun, Mean, difference
from trainer.ablation.database_content import (
    content_of,
    found_by_category,
    generated_texts,
    stages_of,
)
from trainer.ablation.evidence import read_benchmark, run_groups
from trainer.ablation.models import BASELINES, FULL, MODELS, VARIANTS
from trainer.ablation.plan import AblationSettings, Unit, units_in
from trainer.ablation.run_pool import side_by_side
from trainer.ablation.run_result import MEASURED, SCORES, RunResult
from trainer.ablation.runs import run_all, shares_first_stage, shown_query
from trainer.ablation.scores import Scores
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.encode import encode
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.scorers import pairs_of
from trainer.training.checkpoint import current, is_done, load_model
from trainer.training.fit import fit

QUICK = AblationSettings(preset="tiny", epochs=(1, 1, 1), baselines=False)
UNTRAINED = {"BM25": "bm25", "untrained all-MiniLM-L6-v2": "sentence-embeddings"}
KEYS = [variant.key for variant in VARIANTS]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """OUT of all models on one shop, measured on an attacked one too."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("ablate")
    db = toy_shop(folder / "shop")
    attacked = toy_shop(folder / "hard", copies=3)
    attacked = attacked.rename(attacked.with_name("hard.duckdb"))
    settings = AblationSettings(preset="tiny", epochs=(1, 1, 1))
    assert run_all([db], [0], folder / "out", settings, [attacked]) == 10
    return folder / "out", db


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def measures(out: Path, key: str) -> dict[str, object]:
    found = json.loads((out / "shop" / "seed-0" / key / MEASURED).read_text())
    return {name: value for name, value in found.items() if name != "minutes"}


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


def killed(unit: Unit) -> Iterator[None]:
    """What a process does that the system ends for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield


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
    assert set(found) == {*SCORES, "model", "split", "image_weight", "candidates", "config"}
    assert all(found[name] == expected[name] for name in found if name != "model")
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


def test_databases_that_differ_in_a_number_are_one_group() -> None:
    names = {
        "synth-1": "synth",
        "synth_12": "synth",
        "luma": "luma",
        "7": "7",
        "v2-shop": "v2-shop",
    }
    for name, expected in names.items():
        assert Unit(Path("out") / name / "seed-0", Path("x"), 0).group == expected


def test_a_mean_has_a_t_interval_from_three_runs_on() -> None:
    values = [0.5, 0.7, 0.9, None]
    found = Mean.of(values)
    assert found is not None
    assert (found.value, found.runs) == (pytest.approx(0.7), 3)
    low, high = t.interval(0.95, 2, loc=0.7, scale=np.std([0.5, 0.7, 0.9], ddof=1) / 3**0.5)
    assert found.half == pytest.approx((high - low) / 2)
    two = Mean.of(values[:2])
    assert two is not None
    assert two.half is None
    assert Mean.of([None]) is None
    assert str(two) == "0.600"


def benchmark_of(rng: np.random.Generator) -> Benchmark:
    return Benchmark(
        split="val",
        query=np.repeat(np.arange(40), 6).astype(np.int32),
        product=rng.integers(0, 60, 240).astype(np.int32),
        positive=rng.random(240) < 0.5,
        candidate_query=np.arange(40, dtype=np.int32),
        candidates=np.stack([rng.permutation(60)[:40] for _ in range(40)]).astype(np.int32),
        source="click",
        categories={},
    )


def judged(benchmark: Benchmark, score: Floats, group: str = "a") -> JudgedRun:
    queries, products = pairs_of(benchmark)
    return JudgedRun(Scores(queries, products, {"Q->M": score}), "Q->M", benchmark, group)


def test_comparisons_are_paired() -> None:
    rng = np.random.default_rng(0)
    benchmark = benchmark_of(rng)
    queries, products = pairs_of(benchmark)
    known = dict(
        zip(
            zip(benchmark.query.tolist(), benchmark.product.tolist(), strict=True),
            benchmark.positive.tolist(),
            strict=True,
        )
    )
    pairs = zip(queries.tolist(), products.tolist(), strict=True)
    right = np.array([float(known.get(pair, False)) for pair in pairs])
    noise = [rng.normal(size=len(queries)) for _ in range(3)]
    good = [judged(benchmark, right * 3 + one) for one in noise]
    poor = [judged(benchmark, one) for one in noise]
    same = difference(good, good)
    assert same is not None
    assert (same.mean.value, same.p, same.conclusion) == (0.0, 1.0, "not shown")
    found, turned = difference(good, poor), difference(poor, good)
    assert found is not None
    assert turned is not None
    assert found.conclusion == "holds"
    assert turned.conclusion == "contradicted"
    assert found.low < found.mean.value < found.high
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert found.better == 3
    assert found.p_runs is not None
    expected = np.mean(
        [a.auc()(np.ones(240)) - b.auc()(np.ones(240)) for a, b in zip(good, poor, strict=True)]
    )
    assert found.mean.value == pytest.approx(expected)
    lists = difference(good, poor, 10)
    assert lists is not None
    assert abs(lists.mean.value) < 0.5


def test_nothing_to_measure_is_no_difference() -> None:
    benchmark = benchmark_of(np.random.default_rng(0))
    none = np.empty(0, np.int32)
    from dataclasses import replace

    bare = replace(benchmark, query=none, product=none, positive=np.empty(0, bool))
    queries, _ = pairs_of(bare)
    one = judged(bare, np.zeros(len(queries)))
    assert difference([one], [one]) is None
    assert difference([one], [one], 5) is not None


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


def test_corrections_by_category_are_those_of_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    rng = np.random.default_rng(0)
    expected: dict[str | None, list[int]] = {}
    with Shop(path) as shop:
        numbers = [shop.query(f"q{n}", f"query {n}") for n in range(6)]
        for n in range(24):
            category = ("hats", "bags")[n % 2]
            split = "val" if n % 3 else "train"
            texts = (f"thing {n}", f"a thing {n}")
            shop.product(f"p{n}", f"thing {n}", split=split, texts=texts, category=category)
            for at, q in enumerate(numbers):
                if rng.random() < 0.5:
                    continue
                positive, found = int(rng.random() < 0.5), bool(rng.random() < 0.4)
                shop.label(f"q{at}", f"p{n}", positive, split)
                if found:
                    shop.correct(q, shop.feature(*texts))
                if split == "val":
                    for name in (category, None):
                        row = expected.setdefault(name, [0, 0, 0, 0])
                        marks = (1, positive, found, positive and found)
                        for place, mark in enumerate(marks):
                            row[place] += mark
    rows = {
        row.category: [row.pairs, row.relevant, row.found, row.found_relevant]
        for row in found_by_category(path, "val")
    }
    assert rows == expected
    assert list(rows)[-1] is None


def test_precision_and_recall_are_averaged_over_runs(done: tuple[Path, Path]) -> None:
    (group,) = run_groups(done[0])
    (one,) = group.judged(FULL, "Q->M")
    scores = one.scores.scorers()["Q->M"](one.benchmark.query, one.benchmark.product)
    precision, recall, _ = precision_recall(scores, one.benchmark.positive)
    found = figures.mean_curve(group, FULL, "Q->M")
    for at, level in enumerate(figures.GRID):
        assert found[at] == precision[np.flatnonzero(recall >= level - 1e-12)[0]]


def test_a_projection_keeps_the_score() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(31, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    along, across = figures.project(vectors[0], vectors[1:])
    np.testing.assert_allclose(along, vectors[1:] @ vectors[0])
    assert (along**2 + across**2 <= 1 + 1e-9).all()
    assert across.var() > 0


def test_kept_vectors_are_the_shown_querys(done: tuple[Path, Path]) -> None:
    out, db = done
    benchmark = read_benchmark(db, "val")
    q = shown_query(benchmark)
    run = out / "shop" / "seed-0" / FULL
    bench = runs.Bench.read(db, "val")
    encoded = encode(load_model(run / "stage3"), bench.catalogue, benchmark)
    with np.load(run / runs.VECTORS) as kept:
        assert int(kept["q"]) == q
        np.testing.assert_allclose(kept["query"], encoded.query.at(np.array([q]))[0], atol=1e-6)
        relevant = benchmark.positive & (benchmark.query == q)
        assert (kept["kinds"] == 1).sum() == relevant.sum()
        assert (kept["kinds"] == -1).sum() == (~benchmark.positive & (benchmark.query == q)).sum()


def test_the_report_has_every_table_and_figure(done: tuple[Path, Path], tmp_path: Path) -> None:
    path = write_report(done[0], tmp_path / "deep" / "report.md", "trainer ablate")
    text = path.read_text("utf-8")
    for head in ("Table 2", "Table 3", "Table 6", "Table 7", "Figure 4", "Figure 5", "Claims"):
        assert re.search(rf"^### .*{head}", text, flags=re.MULTILINE), head
    for name in ("without QMA", "BM25", "random order", "Attacked catalogues", "| all |"):
        assert name in text
    assert "nan" not in text
    pictures = re.findall(r"!\[.*?\]\((.+?)\)", text)
    assert len(pictures) == 4
    for name in pictures:
        picture = path.parent / name
        with Image.open(picture) as image:
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 10
        assert picture.with_suffix(".svg").read_text("utf-8").startswith("<?xml")
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) >= 9
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_an_attack_is_averaged_over_catalogues_before_runs(
    done: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "out")
    folder = tmp_path / "out" / "shop" / "seed-0" / FULL / runs.ATTACKED
    shutil.copytree(folder / "hard", folder / "harder")
    said = json.loads((folder / "hard" / MEASURED).read_text())
    expected = said["Q->M"]["auc"] - 0.1
    said["Q->M"]["auc"] -= 0.2
    (folder / "harder" / MEASURED).write_text(json.dumps(said))
    (group,) = run_groups(tmp_path / "out")
    found = group.attacked(FULL, "Q->M")
    assert found is not None
    assert (found.value, found.runs) == (pytest.approx(expected), 1)
    assert group.attacked("clip", "Q->T") is None


def test_small_stand_ins_are_named_in_every_table(done: tuple[Path, Path]) -> None:
    from trainer.ablation.tables import all_models

    (group,) = run_groups(done[0])
    lines = [line for line in all_models(group) if re.match(r"\| (CLIP|BLIP-2|BERT)", line)]
    assert len(lines) == 9  # BERT in one, CLIP in two, BLIP-2 and its tuned self in three
    assert all("small, from scratch" in line for line in lines)


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


def test_the_command_writes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    db = toy_shop(tmp_path / "shop")
    words = ["ablate", "--db", db, "--out", tmp_path / "out", "--preset", "tiny", "--seeds", 1]
    quick = ["--epochs", 1, "--epochs", 1, "--epochs", 1, "--no-baselines"]
    assert command(monkeypatch, *words, *quick) == 0
    captured = capsys.readouterr()
    assert "runs made" in captured.out
    assert "runs: 4 of 4" in captured.err
    assert (tmp_path / "out" / "report.md").read_text("utf-8").count("### ") >= 7
    assert command(monkeypatch, *words, "--epochs", 3) == 2


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


def test_seen_and_held_out_words_make_up_all_labels(done: tuple[Path, Path]) -> None:
    (group,) = run_groups(done[0])
    seen = group.auc_by_words(FULL, "Q->M", held_out=False)
    assert seen == group.mean(FULL, "Q->M", "auc")  # no query of the shop has an unseen word
    assert group.auc_by_words(FULL, "Q->M", held_out=True) is None
