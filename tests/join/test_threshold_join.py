"""The threshold join against the naive product, on every path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genfilt.common.errors import UserError
from genfilt.join import cpu_join as cpu
from genfilt.join import plan
from genfilt.join import torch_join as blocks
from genfilt.join.codes import encode
from genfilt.join.llvm_tiles import multiplies_bytes
from genfilt.join.threshold_join import threshold_join

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread_for_small_products():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


LENIENT = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def collect(batches):
    pairs = {}
    for i, j, s in batches:
        assert (i.dtype, j.dtype, s.dtype) == (np.int64, np.int64, np.float64)
        for a, b, score in zip(i.tolist(), j.tolist(), s.tolist(), strict=True):
            assert (a, b) not in pairs
            pairs[a, b] = score
    return pairs


def naive(left, right, threshold):
    """Pairs in, and pairs so near the edge that float64 sums of another order may differ."""
    left64, right64 = left.astype(np.float64), right.astype(np.float64)
    scores = left64 @ right64.T
    lengths = np.outer(np.linalg.norm(left64, axis=1), np.linalg.norm(right64, axis=1))
    above = scores - (threshold - 1e-6 * lengths)
    close = np.abs(above) <= 1e-12 * lengths
    places = zip(*np.nonzero(above >= 0), strict=True)
    edge = {(int(i), int(j)) for i, j in zip(*np.nonzero(close & (lengths > 0)), strict=True)}
    return {(int(i), int(j)): scores[i, j] for i, j in places}, edge


def ways(left, right, threshold, memory=1 << 24, known=None):
    """The answer of every path of the join, whichever the public function would choose."""
    vectors = (left, right)
    yield "plain", blocks.plain_join(vectors, threshold, CPU, memory)
    sides = (plan.measure(left), plan.measure(right))
    if not all(1e-12 < side.length < 1e12 for side in sides):
        return
    longest = sides[0].length * sides[1].length
    least = min(max(threshold - 1e-6 * longest, -1.01 * longest), 1.01 * longest)
    made = plan.make_plan(vectors, sides, least, levels=3, known=known)
    yield "coded", blocks.coded_join(vectors, made, threshold, CPU, memory)
    dear = plan.make_plan(vectors, sides, least, levels=1, known=known, costs=plan.ACCELERATOR)
    yield "coded as for an accelerator", blocks.coded_join(vectors, dear, threshold, CPU, memory)
    yield "floats", cpu.scan_join(vectors, made, threshold, memory, False)
    if multiplies_bytes():
        yield "bytes", cpu.scan_join(vectors, made, threshold, memory, True)


def unit(rng, rows, width):
    vectors = rng.standard_normal((rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def cases(draw):
    """Two sides that share rows, some of them zero or very long, and a threshold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 31, 64, 100, 130, 384]))
    rows = [draw(st.integers(1, 90)) for _ in range(2)]
    middle = unit(rng, 1, width) * draw(st.sampled_from([0.0, 0.5, 3.0]))
    sides = [unit(rng, count, width) + middle for count in rows]
    if draw(st.booleans()):
        copies = rng.integers(0, rows[0], rows[1] // 2)
        sides[1][: len(copies)] = sides[0][copies] + 0.01 * unit(rng, len(copies), width)
    if draw(st.booleans()):
        sides[0][-1] = 0
    if draw(st.booleans()):
        spread = draw(st.sampled_from([1.0, 10.0, 1e5, 1e15]))
        for side in sides:
            side *= rng.uniform(1 / spread, spread, (len(side), 1))
    sides = [np.ascontiguousarray(side, np.float32) for side in sides]
    scores = sides[0].astype(np.float64) @ sides[1].astype(np.float64).T
    at = draw(st.sampled_from(["plain", "pair", "edge"]))
    i, j = rng.integers(0, rows[0]), rng.integers(0, rows[1])
    threshold = draw(st.floats(-1, 1)) if at == "plain" else float(scores[i, j])
    if at == "edge":
        threshold += 1e-6 * float(np.linalg.norm(sides[0][i]) * np.linalg.norm(sides[1][j]))
    return sides[0], sides[1], threshold


@LENIENT
@given(cases(), st.sampled_from([(1,), (3,), (2, 5), (1, 4, 9), (14, 30, 62), (22, 46)]))
def test_every_path_finds_what_the_naive_product_finds(case, known):
    left, right, threshold = case
    width = left.shape[1]
    known = tuple(k for k in known if k < width) or (width,)
    expected, edge = naive(left, right, threshold)
    first = None
    for name, batches in ways(left, right, threshold, known=known):
        found = collect(batches)
        assert found.keys() - edge == expected.keys() - edge, name
        first = found if first is None else first
        assert found == first, name


@pytest.mark.parametrize("threshold", [-1, -0.2, 0, 0.3, 0.6, 1])
@pytest.mark.parametrize("width", [2, 90])
def test_sizes_that_need_many_blocks_and_batches(threshold, width):
    rng = np.random.default_rng(width)
    centres = unit(rng, 30, width)
    left, right = (
        (centres[rng.integers(0, 30, n)] + 0.4 * unit(rng, n, width)).astype(np.float32)
        for n in (401, 203)
    )
    reference = None
    for memory in (1 << 24, 1 << 28):
        for name, batches in ways(left, right, threshold, memory):
            parts = list(batches)
            arrays = [np.concatenate(part) for part in zip(*parts, strict=True)] if parts else []
            key = arrays[0] * len(right) + arrays[1] if arrays else np.zeros(0, np.int64)
            order = key.argsort()
            result = key[order], arrays[2][order] if arrays else key
            if reference is None:
                scores = left.astype(np.float64) @ right.astype(np.float64).T
                lengths = np.outer(
                    *(np.linalg.norm(x.astype(float), axis=1) for x in (left, right))
                )
                passed = np.flatnonzero(scores >= threshold - 1e-6 * lengths)
                assert np.array_equal(result[0], passed)
                reference = result
            assert np.array_equal(result[0], reference[0]), name
            assert np.array_equal(result[1], reference[1]), name


def test_the_widest_vectors():
    rng = np.random.default_rng(4)
    left, right = unit(rng, 60, 1024), unit(rng, 50, 1024)
    right[:9] = left[:9]
    expected, _ = naive(left, right, 0.08)
    for name, batches in ways(left, right, 0.08):
        assert collect(batches).keys() == expected.keys(), name
    assert len(expected) > 9


def test_the_public_function_is_exact_where_it_plans():
    rng = np.random.default_rng(3)
    left, right = unit(rng, 1100, 48), unit(rng, 1000, 48)
    right[:100] = left[:100]
    expected, _ = naive(left, right, 0.5)
    assert collect(threshold_join(left, right, 0.5)).keys() == expected.keys()
    assert collect(threshold_join(left, right, 0.5, memory=1 << 24)).keys() == expected.keys()
    assert len(expected) > 100


def test_where_exact_scores_are_dear_fewer_pairs_are_left_for_them():
    rng = np.random.default_rng(6)
    decay = (0.97 ** np.arange(256)).astype(np.float32)
    sides = [unit(rng, 700, 256) * decay for _ in range(2)]
    vectors = tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    measured = plan.measure(vectors[0]), plan.measure(vectors[1])
    left = []
    for costs in (plan.CPU, plan.ACCELERATOR):
        made = plan.make_plan(vectors, measured, 0.5, levels=1, costs=costs)
        codes = (encode(torch.tensor(vectors[at]), made, at == 0) for at in range(2))
        left.append(int((blocks._bounds(*codes) >= 0).sum()))
    found = collect(threshold_join(*vectors, 0.5))
    assert 0 < len(found) <= left[1] < left[0] / 2


def test_an_empty_side_or_a_threshold_out_of_reach_has_no_pairs():
    some, none = np.ones((3, 4), np.float32), np.ones((0, 4), np.float32)
    for left, right in ((none, some), (some, none), (none, none)):
        assert collect(threshold_join(left, right, -9)) == {}
    assert collect(threshold_join(some, some, 4.1)) == {}
    assert len(collect(threshold_join(some, some, 4))) == 9


def test_reads_memory_maps_and_strided_arrays(tmp_path: Path):
    vectors = unit(np.random.default_rng(2), 1300, 8)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    strided = np.asfortranarray(vectors)
    expected = collect(threshold_join(vectors, vectors, 0.9))
    assert collect(threshold_join(mapped, mapped, 0.9)) == expected
    assert collect(threshold_join(strided, mapped, 0.9)) == expected
    assert len(expected) > 1300


def test_rows_too_long_for_float32_products_are_scored():
    rows = np.array([[3e38, 3e38], [-3e38, 1], [1e-40, 0], [0, 0]], np.float32)
    found = collect(threshold_join(rows, rows, 1e76))
    assert found == {(0, 0): 2 * float(np.float32(3e38)) ** 2, (1, 1): found[1, 1]}
    assert (2, 3) in collect(threshold_join(rows, rows, 0))


BAD = np.ones((2, 3), np.float32)
NAN, INFINITE = BAD.copy(), BAD.copy()
NAN[1, 1], INFINITE[0, 2] = np.nan, np.inf


@pytest.mark.parametrize(
    ("left", "right", "threshold", "options", "message"),
    [
        (BAD, np.ones((2, 4), np.float32), 0.5, {}, "3 dimensions"),
        (BAD[0], BAD, 0.5, {}, r"left .* shape \(3,\)"),
        (BAD.astype(np.float64), BAD, 0.5, {}, "left vectors are float64"),
        (np.ones((2, 0), np.float32), np.ones((2, 0), np.float32), 0.5, {}, r"shape \(2, 0\)"),
        (BAD, NAN, 0.5, {}, "Row 1 of the right"),
        (INFINITE, BAD, 0.5, {}, "Row 0 of the left"),
        (BAD, BAD, np.nan, {}, "threshold is nan"),
        (BAD, BAD, 0.5, {"device": "abacus"}, '"abacus"'),
        (BAD, BAD, 0.5, {"memory": 9}, "memory=9"),
    ],
)
def test_refuses_what_has_no_right_answer(left, right, threshold, options, message):
    with pytest.raises(UserError, match=message):
        threshold_join(left, right, threshold, **options)
