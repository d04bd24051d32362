"""The join on a CPU: both sides coded, put into an order that keeps near rows near, scanned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from genfilt.common.arrays import Vectors
from genfilt.join import cpu_loops
from genfilt.join.codes import NEVER, JoinPlan
from genfilt.join.llvm_tiles import BYTE_VECTORS, FLOAT_VECTORS, ROWS
from genfilt.join.pairs import LANES, Batch

LEVELS = 3
CHUNK = 1024  # rows coded at once, no fewer than a tile has
BLOCK = 1 << 18  # bytes of row codes in a task: they stay in the L2 cache
PANELS = 1 << 12  # columns in a task


@dataclass(frozen=True)
class Packed:
    """Coded rows of one side as the tile takes them."""

    codes: npt.NDArray[np.generic]
    offsets: npt.NDArray[np.int32]  # (levels, rows)
    order: npt.NDArray[np.int64]  # (n,) row of the vectors behind each coded row


def scan_join(
    vectors: tuple[Vectors, Vectors],
    plan: JoinPlan,
    threshold: float,
    memory: int,
    byte_products: bool,
) -> Iterator[Batch]:
    """Yield all pairs that pass; vectors are C-contiguous, byte_products of AVX512_VNNI."""
    threads = torch.get_num_threads()
    entry = 1 if byte_products else 4
    rows = memory // 3 // (plan.stops[-1] * (2 + entry) + 64)
    capacity = min(1 << 18, memory // 6 // (24 * 2 * threads))
    capacity = max(capacity, 2 * cpu_loops.FOUND + 2 * ROWS * LANES * 4)
    with ThreadPoolExecutor(threads) as pool:
        for a in range(0, len(vectors[0]), rows):
            left = _pack(pool, vectors[0][a : a + rows], a, plan, True, byte_products)
            for b in range(0, len(vectors[1]), rows):
                right = _pack(pool, vectors[1][b : b + rows], b, plan, False, byte_products)
                yield from _scan(pool, threads, (left, right), vectors, plan, threshold, capacity)


def _scan(
    pool: ThreadPoolExecutor,
    threads: int,
    packed: tuple[Packed, Packed],
    vectors: tuple[Vectors, Vectors],
    plan: JoinPlan,
    threshold: float,
    capacity: int,
) -> Iterator[Batch]:
    left, right = packed
    group = 4 if left.codes.dtype == np.int8 else 1
    stops = np.array(plan.stops, np.int64) // group
    codes = (left.codes, right.codes, left.offsets, right.offsets, stops)
    sources = (vectors[0].ctypes.data, vectors[1].ctypes.data, vectors[0].shape[1])

    def work(task: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Batch]:
        out = (np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity))
        count = cpu_loops.scan(codes, (left.order, right.order), sources, threshold, task, out)
        return task, (out[0][:count].copy(), out[1][:count].copy(), out[2][:count].copy())

    waiting: deque[Future[tuple[npt.NDArray[np.int64], Batch]]] = deque()
    tasks = _tasks(left, right)
    while True:
        while len(waiting) < 2 * threads and (task := next(tasks, None)) is not None:
            waiting.append(pool.submit(work, task))
        if not waiting:
            return
        task, batch = waiting.popleft().result()
        if task[4] < task[1] * task[3]:
            waiting.appendleft(pool.submit(work, task))
        if len(batch[0]):
            yield batch


def _tasks(left: Packed, right: Packed) -> Iterator[npt.NDArray[np.int64]]:
    """First row, tiles of rows, first panel, panels and tiles done, of every task."""
    tiles, panels = len(left.codes) // ROWS, len(right.codes)
    columns = right.offsets.shape[1] // panels
    tall = max(1, BLOCK // (ROWS * left.codes[0].nbytes))
    wide = max(1, PANELS // columns)
    for tile in range(0, tiles, tall):
        for panel in range(0, panels, wide):
            yield np.array(
                [tile * ROWS, min(tall, tiles - tile), panel, min(wide, panels - panel), 0]
            )


def _encode(
    pool: ThreadPoolExecutor, vectors: Vectors, plan: JoinPlan, left: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32], npt.NDArray[np.int16]]:
    """Entries (n, stops[-1]), offsets (levels, n) and nearest centres (n,) of all rows."""
    count, width = vectors.shape
    if count < ROWS:
        vectors = np.pad(vectors, ((0, ROWS - count), (0, 0)))
    basis, shift = (part.numpy() for part in plan.basis(left))
    padding = -len(shift) % LANES
    panels = np.pad(basis, ((0, 0), (0, padding))).reshape(width, -1, LANES).transpose(1, 0, 2)
    start = np.pad(-shift, (0, padding)).reshape(-1, LANES)
    centres = plan.centres.numpy()
    half = -0.5 * np.square(centres).sum(1, keepdims=True)
    rotation = (np.ascontiguousarray(panels), start, np.hstack([centres, half]).T.copy())
    levels = (np.array(plan.known, np.int64), np.array(plan.stops, np.int64))
    out = (
        np.zeros((len(vectors), plan.stops[-1]), np.int8),
        np.empty((len(plan.known), len(vectors)), np.int32),
        np.empty(len(vectors), np.int16),
    )
    address, margins = vectors.ctypes.data, plan.margins(left)

    def work(first: int) -> None:
        rows = (address, width, first, min(first + CHUNK, len(vectors)))
        cpu_loops.encode(rows, rotation, levels, margins, left, out)

    for _ in pool.map(work, range(0, len(vectors), CHUNK)):
        pass
    return out[0][:count], out[1][:, :count], out[2][:count]


def _pack(
    pool: ThreadPoolExecutor,
    vectors: Vectors,
    first: int,
    plan: JoinPlan,
    left: bool,
    byte_products: bool,
) -> Packed:
    """Code the rows and lay them out by nearest centre; first is the number of the first one."""
    entries, offsets, groups = _encode(pool, vectors, plan, left)
    order = groups.argsort(kind="stable")
    columns = LANES * (BYTE_VECTORS if byte_products else FLOAT_VECTORS)
    padding = -len(order) % (ROWS if left else columns)
    entries = np.concatenate([entries[order], np.zeros((padding, entries.shape[1]), np.int8)])
    offsets = np.pad(offsets[:, order], ((0, 0), (0, padding)))
    offsets[:, len(order) :] = NEVER
    offsets[1:] -= offsets[:-1].copy()
    if left and byte_products:
        # the tile takes columns as unsigned bytes, code + 128
        starts = np.array((0, *plan.stops[:-1]))
        offsets -= 128 * np.add.reduceat(entries, starts, axis=1, dtype=np.int32).T
    codes: npt.NDArray[np.generic] = entries if byte_products else entries.astype(np.float32)
    if not left:
        lanes = (entries ^ np.int8(-128)).view(np.int32) if byte_products else codes
        codes = lanes.reshape(-1, columns, lanes.shape[1]).transpose(0, 2, 1)
    packed = np.ascontiguousarray(codes), np.ascontiguousarray(offsets)
    return Packed(*packed, order.astype(np.int64) + first)
