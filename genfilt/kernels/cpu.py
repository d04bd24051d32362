"""The join on a CPU: both sides coded, put into an order that keeps near rows near, scanned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from genfilt.kernels import LANES, Batch, Vectors, native
from genfilt.kernels.sketch import NEVER, Plan, as_tensor, encode

LEVELS = 3
CHUNK = 8192  # rows coded at once
BLOCK = 1 << 18  # bytes of row codes in a task: they stay in the L2 cache
PANELS = 1 << 12  # columns in a task


@dataclass(frozen=True)
class Packed:
    """Coded rows of one side as the tile takes them."""

    codes: npt.NDArray[np.generic]
    offsets: npt.NDArray[np.int32]  # (levels, rows)
    order: npt.NDArray[np.int64]  # (n,) row of the vectors behind each coded row


def scan_join(
    vectors: tuple[Vectors, Vectors], plan: Plan, threshold: float, memory: int, bytes_: bool
) -> Iterator[Batch]:
    """All pairs that pass; vectors are C-contiguous. bytes_ says how the codes are multiplied."""
    threads = torch.get_num_threads()
    entry = 1 if bytes_ else 4
    rows = memory // 3 // (plan.stops[-1] * (2 + entry) + 64)
    capacity = min(1 << 18, memory // 6 // (24 * 2 * threads))
    capacity = max(capacity, 2 * native.FOUND + 2 * native.ROWS * LANES * 4)
    with ThreadPoolExecutor(threads) as pool:
        for first_left in range(0, len(vectors[0]), rows):
            left = _pack(vectors[0], first_left, rows, plan, True, bytes_)
            for first_right in range(0, len(vectors[1]), rows):
                right = _pack(vectors[1], first_right, rows, plan, False, bytes_)
                yield from _scan(pool, threads, (left, right), vectors, plan, threshold, capacity)


def _scan(
    pool: ThreadPoolExecutor,
    threads: int,
    packed: tuple[Packed, Packed],
    vectors: tuple[Vectors, Vectors],
    plan: Plan,
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
        count = native.scan(codes, (left.order, right.order), sources, threshold, task, out)
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
    tiles, panels = len(left.codes) // native.ROWS, len(right.codes)
    columns = right.offsets.shape[1] // panels
    tall = max(1, BLOCK // (native.ROWS * left.codes[0].nbytes))
    wide = max(1, PANELS // columns)
    for tile in range(0, tiles, tall):
        for panel in range(0, panels, wide):
            yield np.array(
                [tile * native.ROWS, min(tall, tiles - tile), panel, min(wide, panels - panel), 0]
            )


def _pack(vectors: Vectors, first: int, rows: int, plan: Plan, left: bool, bytes_: bool) -> Packed:
    stop = min(first + rows, len(vectors))
    parts = [
        encode(as_tensor(vectors[start : min(start + CHUNK, stop)]), plan, left)
        for start in range(first, stop, CHUNK)
    ]
    order = torch.cat([part.groups for part in parts]).argsort(stable=True)
    entries = torch.cat([part.entries for part in parts])[order]
    offsets = torch.cat([part.offsets for part in parts], dim=1)[:, order]
    offsets = offsets.diff(dim=0, prepend=torch.zeros_like(offsets[:1]))
    vectors_wide = native.BYTE_VECTORS if bytes_ else native.FLOAT_VECTORS
    unit = native.ROWS if left else vectors_wide * LANES
    padding = -len(order) % unit
    entries = torch.nn.functional.pad(entries, (0, 0, 0, padding))
    offsets = torch.nn.functional.pad(offsets, (0, padding))
    if padding:
        offsets[0, -padding:] = NEVER
    if left and bytes_:
        # the tile takes columns as unsigned bytes, code + 128
        starts = (0, *plan.stops)
        for level, stop_ in enumerate(plan.stops):
            offsets[level] -= 128 * entries[:, starts[level] : stop_].sum(1, dtype=torch.int32)
    if not bytes_:
        entries = entries.float()
    if not left:
        group = 4 if bytes_ else 1
        entries = entries.view(-1, unit, entries.shape[1] // group, group).transpose(1, 2)
        entries = entries.reshape(len(entries), -1, unit * group)
        entries = entries ^ -128 if bytes_ else entries
    return Packed(
        entries.contiguous().numpy(), offsets.contiguous().numpy(), order.add_(first).numpy()
    )
