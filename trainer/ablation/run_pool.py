"""Processes that run several units at once and share the cores between them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr

from genfilt.common.errors import UserError
from trainer.ablation.plan import Unit

LOG = "log.txt"
SECONDS_BETWEEN_LOOKS = 2.0


def side_by_side(
    run: Callable[[Unit], Iterator[None]], units: Sequence[Unit], jobs: int
) -> Iterator[None]:
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
        while left:
            ended, left = wait(left, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            try:
                for one in ended:
                    one.result()
            except BrokenProcessPool as fault:
                raise UserError(
                    "A process of the runs was killed, perhaps because memory ran out; run the "
                    "same command again with fewer --jobs: finished runs are kept."
                ) from fault
            except Exception:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            yield


def _share_cores(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _logged(run: Callable[[Unit], Iterator[None]], unit: Unit) -> None:
    unit.folder.mkdir(parents=True, exist_ok=True)
    with (unit.folder / LOG).open("a", encoding="utf-8", buffering=1) as log, redirect_stderr(log):
        for _ in run(unit):
            pass
