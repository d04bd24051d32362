"""Drawing of pictures in worker processes."""

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import TracebackType

from genfilt.synth.drawing import save_pictures
from genfilt.synth.listings import Listing, Look

SHARD = 10_000
"""Pictures of a larger catalogue lie in folders of 1,000."""
_BATCH = 100
_MIN_POOLED_PICTURES = 1_000


def picture_name(listing: Listing, products: int) -> str:
    """Return the path of a listing's picture, relative to the catalogue's folder."""
    shard = f"{listing.number // 1_000:04d}/" if products > SHARD else ""
    return f"images/{shard}{listing.product_id}.jpg"


class DrawingPool:
    """Draws pictures in batches, few of them in flight; a small catalogue in this process.

    Args:
        folder: the catalogue's folder, under which the names given to `draw` lie.
        expected: how many orders will come; a small number is drawn in this process.
    """

    def __init__(self, folder: Path, expected: int) -> None:
        self._folder = folder
        self._workers = (os.cpu_count() or 1) if expected >= _MIN_POOLED_PICTURES else 0
        self._batch: list[tuple[Look, str]] = []
        self._waiting: deque[Future[int]] = deque()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "DrawingPool":
        if self._workers:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._send()
                while self._waiting:
                    self._waiting.popleft().result()
        finally:
            if self._pool:
                self._pool.shutdown(cancel_futures=True)

    def draw(self, look: Look, name: str) -> None:
        """Schedule a picture to be drawn and saved under this name; may wait for earlier ones."""
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        self._batch.append((look, name))
        if len(self._batch) == _BATCH:
            self._send()

    def _send(self) -> None:
        jobs, self._batch = self._batch, []
        if not self._pool:
            save_pictures(jobs, str(self._folder))
            return
        self._waiting.append(self._pool.submit(save_pictures, jobs, str(self._folder)))
        while len(self._waiting) > 4 * self._workers:
            self._waiting.popleft().result()
