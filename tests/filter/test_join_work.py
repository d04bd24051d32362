"""Joins in blocks: kept ones are not computed again, any order gives one answer, limits hold."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.features.vector_file import VectorFile, save_vectors
from genfilt.filter import join_work
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.join.blocks import BlockJoin, write_block
from genfilt.store.store import Store
from tests.described_shop import ask, describe

SETTINGS = FilterSettings(0.3, image_title_sigma=0.3)
TABLES = (
    "SELECT q, f, q_i, q_t, cosine, score FROM qp_candidates",
    "SELECT f_image, f_title, i_t FROM it_candidates",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "shop.duckdb") as opened:
        describe(opened)
        ask(opened)
        yield opened


def backwards(join: BlockJoin) -> Iterator[Path]:
    blocks = join.missing()
    random.Random(1).shuffle(blocks)
    for block in blocks:
        yield write_block(join, block)


def test_any_order_of_small_blocks_gives_the_same_tables(
    store: Store, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter_pairs(store, SETTINGS, embedder)
    whole = [store.rows(sql) for sql in TABLES]
    assert all(whole)
    monkeypatch.setattr(join_work, "BLOCK_ROWS", 2)
    found = []
    for run in (join_work.write_missing, backwards):
        monkeypatch.setattr(join_work, "block_runner", lambda engine, run=run: run)
        monkeypatch.setattr("genfilt.filter.filter.block_runner", lambda engine, run=run: run)
        store.connection.execute("UPDATE filters SET current = false")
        filter_pairs(store, SETTINGS, embedder)
        found.append([store.rows(sql) for sql in TABLES])
    assert found[0] == found[1]
    assert [sorted(rows, key=str) for rows in found[0]] == [sorted(r, key=str) for r in whole]


def test_a_filter_that_was_ended_goes_on_from_its_blocks(
    store: Store,
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(join_work, "BLOCK_ROWS", 2)

    def ends(join: BlockJoin) -> Iterator[Path]:
        yield write_block(join, join.missing()[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("genfilt.filter.filter.block_runner", lambda engine: ends)
        with pytest.raises(KeyboardInterrupt):
            filter_pairs(store, SETTINGS, embedder)
    folder = Path(f"{store.path}.filter")
    (kept,) = folder.rglob("pairs-*.parquet")
    written = kept.stat().st_mtime_ns
    seen = []

    def goes_on(join: BlockJoin) -> Iterator[Path]:
        seen.append(kept.exists() and kept.stat().st_mtime_ns == written)
        yield from join_work.write_missing(join)

    monkeypatch.setattr("genfilt.filter.filter.block_runner", lambda engine: goes_on)
    capsys.readouterr()
    assert filter_pairs(store, SETTINGS, embedder).qp_candidates
    assert "1 of 6 blocks were kept" in capsys.readouterr().err
    assert seen[0]
    assert not folder.exists()


def test_each_query_keeps_its_best(store: Store, embedder: Embedder) -> None:
    filter_pairs(store, SETTINGS, embedder)
    best = store.rows(
        "SELECT q, f FROM qp_candidates "
        "QUALIFY row_number() OVER (PARTITION BY q ORDER BY score DESC, f) <= 2 ORDER BY 1, 2"
    )
    made = filter_pairs(store, replace(SETTINGS, max_per_query=2, max_pairs=1), embedder)
    assert store.rows("SELECT q, f FROM qp_candidates ORDER BY 1, 2") == best
    assert made.qp_candidates == len(best)
    assert store.scalar("SELECT max_per_query FROM filters WHERE current") == 2


def test_an_estimate_refuses_a_join_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(join_work, "MIN_ESTIMATED_PAIRS", 1)
    monkeypatch.setattr(join_work, "SAMPLED_LEFT", 100)
    monkeypatch.setattr(join_work, "SAMPLED_RIGHT", 200)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((600, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    file: VectorFile = save_vectors(tmp_path / "v.npy", rows)
    true = int((rows @ rows.T >= 0.5).sum())
    assert join_work.estimated_pairs(file, file, 0.5) == pytest.approx(true, rel=0.2)
    work = join_work.JoinWork(tmp_path, limit=true // 3)
    with pytest.raises(UserError, match="pairs are expected to reach the floor, and --max-pairs"):
        list(work.pairs("join", file, file, 0.5))
    allowed = replace(work, limit=true)
    assert sum(len(a) for a, _, _ in allowed.pairs("join", file, file, 0.5)) == true
    assert "pairs are expected" in capsys.readouterr().err
