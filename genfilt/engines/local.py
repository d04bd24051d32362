"""This process as an engine, and a map over files in this host's worker processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genfilt.common.errors import UserError
from genfilt.engines.protocol import BATCH, Item, Lost, Opener, Result

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

R = TypeVar("R")

MIN_POOLED_FILES = 400  # with fewer, starting workers costs more than it saves
CHUNK = 32  # files handed to a worker at a time
CHUNKS_PER_WORKER = 4  # in flight


class LocalEngine:
    """Runs work in this process, which gets all items at once: it batches as suits it."""

    spreads = False

    def map(
        self,
        opener: Opener[Item, Result],
        items: Iterable[tuple[str, Item]],
        *,
        batch: int = BATCH,
        overlap: bool = False,
    ) -> Iterator[tuple[str, Result | Lost]]:
        """Yield (key, result) for each item; see `Engine.map`."""
        with opener() as work:
            yield from work(dict(items))


_function: Callable[[str, Path], object] | None = None


def ordered_map(
    function: Callable[[str, Path], R], files: Mapping[str, Path]
) -> Iterator[tuple[str, R]]:
    """Yield (key, function(key, path)) in the order given.

    Args:
        function: can be pickled; each worker gets it once.
        files: key -> path.

    Raises:
        UserError: a worker was ended from outside, for example because memory ran out.
    """
    workers = min(os.cpu_count() or 1, 8)
    if workers < 2 or len(files) < MIN_POOLED_FILES:
        for key, path in files.items():
            with single_threaded():
                result = function(key, path)
            yield key, result
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_install, initargs=(function,)
    )
    try:
        yield from _windowed(pool, files, workers * CHUNKS_PER_WORKER)
    except BrokenProcessPool as error:
        raise UserError(
            "A worker that reads pictures was ended from outside, perhaps because memory ran out; "
            "free some and run the command again: it goes on where it stopped."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def single_threaded() -> AbstractContextManager[object]:
    """Limit BLAS to one thread: on matrices this small more threads cost time."""
    return _blas().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _windowed(
    pool: ProcessPoolExecutor, files: Mapping[str, Path], window: int
) -> Iterator[tuple[str, R]]:
    items = iter(files.items())
    waiting: deque[Future[list[tuple[str, R]]]] = deque()
    while True:
        while len(waiting) < window and (chunk := list(islice(items, CHUNK))):
            waiting.append(pool.submit(_run, chunk))
        if not waiting:
            return
        yield from waiting.popleft().result()


def _install(function: Callable[[str, Path], object]) -> None:
    global _function
    _function = function


def _run(chunk: list[tuple[str, Path]]) -> list[tuple[str, R]]:
    assert _function is not None
    with single_threaded():
        return [(key, _function(key, path)) for key, path in chunk]  # type: ignore[misc]
