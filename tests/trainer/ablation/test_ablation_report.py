"""The ablation's report: tables, figures, comparisons."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import t

from tests.trainer.ablation.small_ablation import (
    benchmark_of,
    judged,
)
from tests.trainer.cli.test_trainer_app import run as command
from tests.trainer.shop import Shop, toy_shop
from trainer.ablation import figures, runs
from trainer.ablation.ablation_report import write_report
from trainer.ablation.compare import Mean, difference
from trainer.ablation.database_content import (
    found_by_category,
)
from trainer.ablation.evidence import read_benchmark, run_groups
from trainer.ablation.models import FULL
from trainer.ablation.plan import Unit
from trainer.ablation.query_figure import project
from trainer.ablation.query_vectors import QueryVectors, shown_query
from trainer.ablation.run_result import MEASURED
from trainer.evaluation.encode import encode
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.scorers import pairs_of
from trainer.training.checkpoint import load_model


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
    along, across = project(vectors[0], vectors[1:])
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
    kept = QueryVectors.load(run)
    assert kept.q == q
    np.testing.assert_allclose(kept.query, encoded.query.at(np.array([q]))[0], atol=1e-6)
    relevant = benchmark.positive & (benchmark.query == q)
    assert (kept.kinds == 1).sum() == relevant.sum()
    assert (kept.kinds == -1).sum() == (~benchmark.positive & (benchmark.query == q)).sum()
    assert set(kept.sides) == {"title", "image", "fused"}
    baseline = QueryVectors.load(run.with_name("blip2"))
    assert set(baseline.sides) == {"title", "image"}
    assert len(baseline.sides["image"]) == len(kept.kinds)


def test_the_report_has_every_table_and_figure(done: tuple[Path, Path], tmp_path: Path) -> None:
    path = write_report(done[0], tmp_path / "deep" / "report.md", "trainer ablate")
    text = path.read_text("utf-8")
    for head in ("Table 2", "Table 3", "Table 6", "Table 7", "Figure 4", "Figure 5", "Claims"):
        assert re.search(rf"^### .*{head}", text, flags=re.MULTILINE), head
    for name in ("without QMA", "BM25", "random order", "Attacked catalogues", "| all |"):
        assert name in text
    assert "nan" not in text
    assert "BLIP-2 fine-tuned above zero-shot, Q->T" in text
    assert "| GenFilt helps Q->M | AUC |" in text
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert len(pictures) == 4
    copies = re.findall(r"!\[\]\((.+?)\)", text)
    assert copies
    for name in copies:
        with Image.open(path.parent / name) as image:
            assert max(image.size) <= 96
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
    assert len(lines) == 10  # BERT in one, CLIP, BLIP-2 and its tuned self in three
    assert all("small, from scratch" in line for line in lines)


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


def test_seen_and_held_out_words_make_up_all_labels(done: tuple[Path, Path]) -> None:
    (group,) = run_groups(done[0])
    seen = group.auc_by_words(FULL, "Q->M", held_out=False)
    assert seen == group.mean(FULL, "Q->M", "auc")  # no query of the shop has an unseen word
    assert group.auc_by_words(FULL, "Q->M", held_out=True) is None
