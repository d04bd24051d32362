"""Blocks of a threshold join: any order and any restart give the pairs of one join."""

import os
import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UserError
from genfilt.features.vector_file import VectorFile, new_vectors, save_vectors
from genfilt.join.blocks import Block, BlockJoin, read_pairs, write_block, write_missing
from genfilt.join.threshold_join import threshold_join


@pytest.fixture
def join(tmp_path):
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((30, 24))
    for name, count in (("left", 700), ("right", 500)):
        rows = centres[rng.integers(0, 30, count)] + 0.4 * rng.standard_normal((count, 24))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        save_vectors(tmp_path / f"{name}.npy", rows.astype(np.float32))
    left, right = tmp_path / "left.npy", tmp_path / "right.npy"
    return BlockJoin(left, right, 0.8, tmp_path / "blocks", block_rows=128)


def of_one_join(join):
    sides = [np.load(path) for path in (join.left, join.right)]
    found = [
        pair
        for a, b, score in threshold_join(*sides, join.threshold)
        for pair in zip(a.tolist(), b.tolist(), score.tolist(), strict=True)
    ]
    return sorted(found)


def of_blocks(join):
    found = []
    for block in join.blocks():
        columns = (column.tolist() for column in read_pairs(join.file(block)))
        pairs = list(zip(*columns, strict=True))
        assert pairs == sorted(pairs, key=lambda pair: (pair[1], pair[0]))
        found += pairs
    return sorted(found)


def test_blocks_in_any_order_give_the_pairs_and_scores_of_one_join(join):
    blocks = join.blocks()
    assert len(blocks) == 6 * 4
    random.Random(3).shuffle(blocks)
    join.folder.mkdir()
    for block in blocks:
        write_block(join, block)
    assert of_blocks(join) == of_one_join(join)
    assert len(of_one_join(join)) > 1000
    _, right, _ = read_pairs(join.file(blocks[0]))
    middle = int(np.median(right))
    assert set(read_pairs(join.file(blocks[0]), (0, middle))[1]) == {r for r in right if r < middle}


def test_only_missing_blocks_are_written_again(join):
    files = list(write_missing(join))
    kept = files[3].stat().st_mtime_ns
    before = of_blocks(join)
    join.file(Block(2, 1)).unlink()
    assert [path.name for path in write_missing(join)] == ["pairs-2-1.parquet"]
    assert files[3].stat().st_mtime_ns == kept
    assert of_blocks(join) == before


def test_a_killed_run_leaves_whole_blocks_and_the_next_one_goes_on(join):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from genfilt.join.blocks import BlockJoin, write_missing
        left, right, folder = (Path(word) for word in sys.argv[1:])
        for path in write_missing(BlockJoin(left, right, 0.8, folder, block_rows=128)):
            print(path.name, flush=True)
            time.sleep(0.05)
        """
    )
    words = [sys.executable, "-c", program, *map(str, (join.left, join.right, join.folder))]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    for _ in range(4):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    kept = [block for block in join.blocks() if join.file(block).exists()]
    assert 4 <= len(kept) < 24
    for block in kept:
        pq.read_table(join.file(block))
    assert len(list(write_missing(join))) == 24 - len(kept)
    assert of_blocks(join) == of_one_join(join)


def test_a_join_without_pairs_has_empty_files(tmp_path, join):
    empty = save_vectors(tmp_path / "none.npy", np.zeros((0, 24), np.float32))
    assert BlockJoin(empty.path, join.right, 0.8, tmp_path / "none").blocks() == []
    high = BlockJoin(join.left, join.right, 2.0, tmp_path / "high", block_rows=1000)
    (file,) = write_missing(high)
    assert pq.read_table(file).num_rows == 0
    assert [len(column) for column in read_pairs(file)] == [0, 0, 0]


def test_rows_are_written_in_any_order_and_read_by_range(tmp_path):
    rows = np.arange(60, dtype=np.float32).reshape(12, 5)
    order = np.random.default_rng(0).permutation(12)
    with new_vectors(tmp_path / "v.npy", 12, 5) as writer:
        for part in np.array_split(order, 3):
            writer.put(part, rows[part])
        assert not (tmp_path / "v.npy").exists()
    file = VectorFile.open(tmp_path / "v.npy")
    assert np.array_equal(file.rows(3, 9), rows[3:9])
    assert np.array_equal(file.rows(10, 99), rows[10:])
    assert file.rows(50, 60).shape == (0, 5)
    wanted = np.array([11, 2, 2, 0, 7])
    assert np.array_equal(file.take(wanted), rows[wanted])
    assert file.take(np.zeros(0, np.int64)).shape == (0, 5)
    assert np.array_equal(np.load(tmp_path / "v.npy"), rows)


@pytest.mark.parametrize("damage", ["cut", "float64", "missing"])
def test_a_damaged_vector_file_is_refused(tmp_path, damage):
    path = tmp_path / "v.npy"
    if damage == "float64":
        np.save(path, np.zeros((4, 2)))
    elif damage == "cut":
        save_vectors(path, np.ones((40, 8), np.float32))
        path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"v\.npy"):
        VectorFile.open(path)
