"""Units of an experiment, run one after the other or at once by processes that share the cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr
from pathlib import Path
from typing import Protocol, TypeVar

from genfilt.common.console import say, track
from genfilt.common.errors import UserError

LOG = "log.txt"
SECONDS_BETWEEN_LOOKS = 2.0


class HasFolder(Protocol):
    """Some runs of an experiment, which are done in one process and kept in one folder."""

    @property
    def folder(self) -> Path:
        """Where its runs and its log are."""


U = TypeVar("U", bound=HasFolder)
Run = Callable[[U], Iterator[object]]


def run_missing(
    run: Run[U], units: Sequence[U], jobs: int, left: Callable[[], int], total: int
) -> int:
    """Run units and show how far they are; return how many of their runs were made.

    Args:
        run: makes what is missing of a unit, and yields after each run.
        units: what is run, in this order.
        jobs: processes at once; with 1 this process runs all.
        left: counts the runs of all units that are not finished.
        total: all their runs.

    Raises:
        UserError: a process was killed, or as `run`.
    """
    before = now = left()
    if before < total:
        say(f"{total - before} of {total} runs are finished already.")
    with track("runs", total, done=total - before) as advance:
        for _ in side_by_side(run, units, jobs) if jobs > 1 else _one_by_one(run, units):
            last, now = now, left()
            if now < last:
                advance(last - now)
    return before


def _one_by_one(run: Run[U], units: Sequence[U]) -> Iterator[object]:
    for unit in units:
        yield from run(unit)


def side_by_side(run: Run[U], units: Sequence[U], jobs: int) -> Iterator[None]:
    """Run units in `jobs` processes; yield now and then until the last has ended.

    Where a unit fails, those that have begun end first, then its error is raised.

    Raises:
        UserError: a process was killed.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_share_cores, initargs=(threads,)
    ) as pool:
        left = {pool.submit(_logged, run, unit) for unit in units}
        try:
            while left:
                ended, left = wait(left, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                for one in ended:
                    one.result()
                yield
        except BrokenProcessPool as fault:
            raise UserError(
                "A process of the runs was killed, perhaps because memory ran out; run the "
                "same command again with fewer --jobs: finished runs are kept."
            ) from fault
        except BaseException:  # Ctrl-C, too, must not begin what waits
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _share_cores(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _logged(run: Run[U], unit: U) -> None:
    unit.folder.mkdir(parents=True, exist_ok=True)
    with (unit.folder / LOG).open("a", encoding="utf-8", buffering=1) as log, redirect_stderr(log):
        for _ in run(unit):
            pass
