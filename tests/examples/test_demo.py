"""The demo's script on a small shop, and its last screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: str, **environment: str) -> str:
    """Run a command of the environment from the root, as make does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "DEMO": str(folder)} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder, after a run of the smallest preset, with its output in out.txt."""
    folder = tmp_path_factory.mktemp("demo")
    small = {"PRODUCTS": "280", "SEED": "4", "CLICKS": "6"}
    small |= {"PRESET": "tiny", "EPOCHS": "1", "CLICK_EPOCHS": "1"}
    (folder / "out.txt").write_text(run(folder, "sh", "examples/demo.sh", **small), "utf-8")
    return folder


def test_the_demo_ends_in_three_results(demo: Path) -> None:
    text = (demo / "out.txt").read_text("utf-8")
    last = text[text.index("# Three results") :]
    results = ("1. Corrections: ", "2. Forecast", "3. Training: ", "By AUC the model is ")
    for line in (*results, "Q->M, trained with GenFilt"):
        assert line in last
    assert (demo / "report.html").is_file()


def test_results_are_the_same_as_counted_by_hand(demo: Path) -> None:
    import duckdb

    words = ("--db", str(demo / "genfilt.duckdb"), "--truth", str(demo / "shop" / "truth.duckdb"))
    words += ("--run", str(demo / "with"), "--plain", str(demo / "without"), "--format", "json")
    results = json.loads(run(demo, sys.executable, "examples/demo_results.py", *words))
    with duckdb.connect(str(demo / "shop" / "truth.duckdb"), read_only=True) as truth:
        ((relevant, products, queries),) = truth.sql(
            "SELECT count(*), count(DISTINCT product_id), count(DISTINCT query_id) "
            "FROM relevant JOIN facets USING (product_id) WHERE split = 'test'"
        ).fetchall()
    assert 0 < results["correct"] <= results["found"]
    assert results["relevant"] <= relevant  # equal products are one
    assert results["queries"] == queries
    assert results["products"] >= products
    own, *others = results["scores"]
    assert own["auc_gap"] is None
    for row in others:
        gap, low, high = row["auc_gap"]
        assert low <= gap <= high
        assert gap == pytest.approx(own["auc"] - row["auc"])
        assert row["recall_gap"][0] == pytest.approx(own["recall"] - row["recall"])


def test_the_last_lines_of_the_demo_run_as_they_are_printed(demo: Path) -> None:
    text = (demo / "out.txt").read_text("utf-8")
    (line,) = (line.strip() for line in text.splitlines() if "score_products.py" in line)
    words = line.replace('"red hoodie"', "red").split()
    assert len(run(demo, *words, GENFILT_DB=str(demo / "genfilt.duckdb")).splitlines()) == 10


@pytest.mark.parametrize("name", ["sentence_transformers_mask.py", "open_clip_mask.py"])
def test_the_mask_examples_run_on_the_demos_database(demo: Path, name: str) -> None:
    words = ("--epochs", "1", "--seeds", "1")
    text = run(demo, "python", f"examples/{name}", *words, GENFILT_DB=str(demo / "genfilt.duckdb"))
    (row,) = (line for line in text.splitlines() if line.startswith("and corrections  "))
    assert 0 < float(row.removeprefix("and corrections").split()[0]) < 1
