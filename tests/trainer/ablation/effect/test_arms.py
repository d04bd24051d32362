"""The arms' pairs: what each takes for corrections, and that training sees them."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from genfilt.common.errors import UserError
from tests.trainer.shop import COLORS, SHAPES, Shop, toy_shop
from trainer.ablation.effect.arms import arm_pairs, arms_of
from trainer.ablation.effect.truth import relevant_pairs

Pairs = set[tuple[int, int]]


def truth_of(path: Path, wrong: int = 0) -> Path:
    """Write the toy shop's truth: a query's colour and shape are the product's."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE relevant (query_id VARCHAR, product_id VARCHAR)")
        for color in COLORS:
            for shape in SHAPES:
                for copy in range(4 + wrong):
                    pair = [f"q-{color}-{shape}", f"{color}-{shape}-{copy}"]
                    connection.execute("INSERT INTO relevant VALUES (?, ?)", pair)
    return path


def clicks_alone(folder: Path, copies: int = 3) -> Path:
    """A shop in which clicks know one product a query, and corrections one more."""
    db = toy_shop(folder, copies)
    with duckdb.connect(str(db)) as connection:
        connection.execute("DELETE FROM labels WHERE split = 'train'")
    return db


def as_set(pairs: np.ndarray) -> Pairs:
    found = [(int(q), int(f)) for q, f in pairs]
    assert len(found) == len(set(found))
    return set(found)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("arms")
    return clicks_alone(folder / "shop"), truth_of(folder / "truth.duckdb")


def test_arms_are_what_they_are_called(files: tuple[Path, Path], tmp_path: Path) -> None:
    db, truth = files
    paper = shutil.copy(db, tmp_path / "shop.paper.duckdb")
    with duckdb.connect(str(paper)) as connection:
        connection.execute("DELETE FROM qp_candidates WHERE q > 3")
    pairs = {key: as_set(found) for key, found in arm_pairs(db, truth, paper).items()}
    with duckdb.connect(str(db), read_only=True) as connection:
        known = set(
            connection.sql(
                "SELECT DISTINCT q, f FROM clicks JOIN query_no USING (query_id) "
                "JOIN product_no USING (product_id) WHERE split = 'train'"
            ).fetchall()
        )
        corrected = set(connection.sql("SELECT q, f FROM qp_candidates").fetchall())
    assert pairs["none"] == set()
    assert pairs["found"] == pairs["drop"] == corrected
    assert pairs["paper"] == {pair for pair in corrected if pair[0] <= 3}
    assert len(pairs["oracle"]) == 36  # three train products for each of twelve queries
    assert corrected | known == corrected | (known & pairs["oracle"])
    assert len(pairs["placebo"]) == len(corrected - known)
    assert not pairs["placebo"] & (corrected | known)
    assert len(pairs["wrong"]) == len(corrected - known)
    assert len(pairs["wrong"] - corrected) == round(0.25 * len(corrected - known))
    assert not (pairs["wrong"] - corrected) & pairs["oracle"]


def test_arms_need_what_they_are_made_of(tmp_path: Path) -> None:
    none = [arm.key for arm in arms_of(None, None)]
    assert none == ["none", "drop", "found"]
    both = [arm.key for arm in arms_of(tmp_path, tmp_path)]
    assert both == ["none", "drop", "paper", "found", "oracle", "wrong", "placebo"]
    assert [arm.key for arm in arms_of(tmp_path, None, ["oracle", "none"])] == ["none", "oracle"]


def test_pairs_of_other_splits_are_no_arms(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q, other = shop.query("q", "ring"), shop.query("r", "bar")
        for name, split in (("a", "train"), ("b", "train"), ("c", "val")):
            shop.product(name, f"ring {name}", split=split, texts=(f"ring {name}", None))
            shop.correct(q, shop.feature(f"ring {name}", None))
            shop.correct(other, shop.feature(f"ring {name}", None))
        shop.click("q", "a")
        shop.click("r", "c", "val")
    pairs = arm_pairs(tmp_path / "shop.duckdb", None, None)
    assert as_set(pairs["found"]) == {(q, 0), (q, 1)}


def test_a_file_without_truth_is_one_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE other (a INTEGER)")
    with pytest.raises(UserError, match="must have a table relevant"):
        relevant_pairs(tmp_path / "other.duckdb")
