"""Reading a genfilt database: what opens, what does not, and what reaches the arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from genfilt.common.errors import UserError
from tests.trainer.shop import Shop
from trainer.database.known_pairs import (
    CorrectionCounts,
    KnownPairs,
    SparseRows,
    count_new_corrections,
    load_known_pairs,
)
from trainer.database.reading import open_database


def read(path: Path, *, genfilt: bool = True) -> KnownPairs:
    with open_database(path) as connection:
        return load_known_pairs(connection, genfilt=genfilt)


def test_a_missing_database_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"no database at .*none\.duckdb; run genfilt ingest"),
        open_database(tmp_path / "none.duckdb"),
    ):
        pass


@pytest.mark.parametrize(
    ("version", "remedy"), [("3", "upgrade the trainer"), ("1", "genfilt migrate --db")]
)
def test_another_schema_version_is_refused(tmp_path: Path, version: str, remedy: str) -> None:
    with Shop(tmp_path / "other.duckdb", version=version):
        pass
    with pytest.raises(UserError, match=f"schema version {version}.*{remedy}"):
        read(tmp_path / "other.duckdb")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("no database at all, " * 500)
    with pytest.raises(UserError, match="not a DuckDB file"):
        read(tmp_path / "text.duckdb")
    duckdb.connect(str(tmp_path / "plain.duckdb")).close()
    with pytest.raises(UserError, match="no genfilt database"):
        read(tmp_path / "plain.duckdb")


def test_a_database_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "busy.duckdb"
    with Shop(path):
        pass
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match="locked by another process"):
            read(path)
        holder.communicate(b"\n")


def test_train_alone_reaches_the_arrays(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        p = [shop.product(f"p{n}", f"title {n}", split="train") for n in range(6)]
        shop.click("q", "p0")
        shop.label("q", "p1", 0)
        shop.click("q", "p2", split="val")
        shop.label("q", "p3", 1, split="val")
        shop.label("q", "p4", 1, split="test")
    known = read(tmp_path / "shop.duckdb")
    assert known.verdicts.entries(np.array([q], np.int32))[0].tolist() == [0, 0]
    assert dict(zip(known.verdicts.values, known.verdict_positive, strict=True)) == {
        p[0]: True,
        p[1]: False,
    }


def test_review_rules_over_label_over_click(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "black jacket")
        for n in range(3):
            shop.product(f"p{n}", f"title {n}")
            shop.click("q", f"p{n}")
        shop.label("q", "p1", 0)
        shop.label("q", "p2", 0)
        shop.review("q", "p2", 1)
    known = read(tmp_path / "shop.duckdb")
    assert dict(zip(known.verdicts.values, known.verdict_positive, strict=True)) == {
        0: True,
        1: False,
        2: True,
    }


def test_corrections_are_those_of_the_current_filter_that_pass(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        shop.correct(q, 3, 0.9)
        shop.correct(q, 4, 0.89)
        shop.correct(q, 5, 0.99, vetoed=True)
        shop.match(3, 4)
        shop.match(4, 5, 0.5)
        shop.insert("qp_candidates", filter_id=2, q=q, f=9, score=1.0)
    known = read(tmp_path / "shop.duckdb")
    assert known.query_product.values.tolist() == [3]
    assert known.image_title.values.tolist() == [4]
    assert known.used == (1, 1)
    assert read(tmp_path / "shop.duckdb", genfilt=False).used == (0, 0)


def test_what_is_known_already_is_no_addition(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        for n in range(3):
            texts = (f"title {n}", f"caption {n}")
            p = shop.product(f"p{n}", f"title {n}", Path(f"{n}.jpg"), texts=texts)
            shop.correct(q, p)
        shop.click("q", "p0")
        shop.label("q", "p1", 0)
        shop.match(0, 0)
        shop.match(0, 1)
    with open_database(tmp_path / "shop.duckdb") as connection:
        assert count_new_corrections(connection) == CorrectionCounts(1, 1)


def test_sparse_rows_with_gaps_out_of_range_and_empty() -> None:
    pairs = SparseRows.from_sorted(np.array([0, 0, 3], np.int32), np.array([7, 8, 9], np.int32))
    place, entry = pairs.entries(np.array([3, 1, 0, 99, -1, 0], np.int32))
    assert place.tolist() == [0, 2, 2, 5, 5]
    assert pairs.values[entry].tolist() == [9, 7, 8, 7, 8]
    none = np.empty(0, np.int32)
    for place, entry in (SparseRows.from_sorted(none, none).entries(np.array([0], np.int32)),):
        assert len(place) == len(entry) == 0


def test_only_new_pairs_of_train_products_are_counted(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        splits = ("train", "train", "train", "val", "test")
        for n, split in enumerate(splits):
            texts = (f"title {n}", f"caption {n}")
            shop.product(f"p{n}", f"title {n}", Path(f"{n}.jpg"), split=split, texts=texts)
            shop.correct(q, n)
        shop.label("q", "p1", 0, split="val")
        for image, title in ((0, 2), (0, 3), (4, 0)):
            shop.match(image, title)
    with open_database(tmp_path / "shop.duckdb") as connection:
        # p1 has a val label, p3 and p4 are never trained on: p0 and p2 are left.
        assert count_new_corrections(connection) == CorrectionCounts(2, 1)


def test_views_of_the_file_are_not_run(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "black jacket")
        shop.product("p0", "title 0")
        shop.click("q", "p0")
        (tmp_path / "secret.txt").write_text("secret")
        shop.db.execute(
            "CREATE OR REPLACE VIEW verdicts AS SELECT 0 AS q, 0 AS p, false AS positive,"
            f" content AS source, 'train' AS split FROM read_text('{tmp_path / 'secret.txt'}')"
        )
    known = read(tmp_path / "shop.duckdb")
    assert known.verdict_positive.tolist() == [True]


def test_a_view_in_the_place_of_a_table_is_refused(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.db.execute("ALTER TABLE clicks RENAME TO logged")
        shop.db.execute("CREATE VIEW clicks AS FROM logged")
    with pytest.raises(UserError, match="has no table clicks"):
        read(tmp_path / "shop.duckdb")
