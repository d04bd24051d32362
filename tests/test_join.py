"""The threshold join against the naive product, on every path."""

from pathlib import Path

import numpy as np
import pytest

from genfilt.errors import GenfiltError
from genfilt.join import threshold_join


def collect(left, right, threshold, **options):
    batches = list(threshold_join(left, right, threshold, **options))
    assert all(
        i.dtype == np.int64 and j.dtype == np.int64 and s.dtype == np.float64 for i, j, s in batches
    )
    pairs = {}
    for i, j, s in batches:
        for key in zip(i.tolist(), j.tolist(), s.tolist(), strict=True):
            assert key[:2] not in pairs
            pairs[key[:2]] = key[2]
    return pairs


def naive(left, right, threshold):
    left64, right64 = left.astype(np.float64), right.astype(np.float64)
    scores = left64 @ right64.T
    lengths = np.outer(np.linalg.norm(left64, axis=1), np.linalg.norm(right64, axis=1))
    return {
        (int(i), int(j)): scores[i, j]
        for i, j in zip(*np.nonzero(scores >= threshold - 1e-6 * lengths), strict=True)
    }


def unit(rng, rows, width):
    vectors = rng.standard_normal((rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_finds_what_the_naive_product_finds():
    rng = np.random.default_rng(1)
    left = unit(rng, 300, 20)
    right = np.concatenate([unit(rng, 200, 20), left[:50]])
    found, expected = collect(left, right, 0.6), naive(left, right, 0.6)
    assert found.keys() == expected.keys()
    assert len(found) > 100
    assert max(abs(found[key] - expected[key]) for key in found) < 1e-12


def test_an_empty_side_has_no_pairs():
    some, none = np.ones((3, 4), np.float32), np.ones((0, 4), np.float32)
    assert collect(none, some, -9) == collect(some, none, -9) == collect(none, none, -9) == {}


def test_reads_memory_maps(tmp_path: Path):
    vectors = unit(np.random.default_rng(2), 40, 8)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert collect(mapped, mapped, 0.5) == collect(vectors, vectors, 0.5)


@pytest.mark.parametrize(
    ("left", "right", "threshold", "options", "message"),
    [
        (np.ones((2, 3), np.float32), np.ones((2, 4), np.float32), 0.5, {}, "3 dimensions"),
        (np.ones(3, np.float32), np.ones((2, 3), np.float32), 0.5, {}, r"left .* shape \(3,\)"),
        (np.ones((2, 3)), np.ones((2, 3), np.float32), 0.5, {}, "left vectors are float64"),
        (
            np.ones((2, 3), np.float32),
            np.array([[0, 1, 2], [0, np.nan, 0]], np.float32),
            0.5,
            {},
            "Row 1 of the right",
        ),
        (
            np.array([[np.inf, 0]], np.float32),
            np.ones((1, 2), np.float32),
            0.5,
            {},
            "Row 0 of the left",
        ),
        (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), np.nan, {}, "threshold is nan"),
        (
            np.ones((2, 3), np.float32),
            np.ones((2, 3), np.float32),
            0.5,
            {"device": "abacus"},
            '"abacus"',
        ),
        (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), 0.5, {"memory": 9}, "memory=9"),
    ],
)
def test_refuses_what_has_no_right_answer(left, right, threshold, options, message):
    with pytest.raises(GenfiltError, match=message):
        threshold_join(left, right, threshold, **options)
