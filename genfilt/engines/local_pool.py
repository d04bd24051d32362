"""Worker processes of this host as an engine: one for each GPU, or as many as asked for."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, cast

from genfilt.common.errors import UserError
from genfilt.engines.protocol import BATCH, Item, Lost, Opener, Result

BATCHES_A_WORKER = 8  # handed over together, so that work can prepare the next while it computes
ATTEMPTS = 2  # of a batch; then its items go one by one, and each has as many
DEATHS_IN_A_ROW = 10  # beside two a worker, without one result between them
CLOSING_SECONDS = 5.0


@dataclass
class _Batch(Generic[Item]):
    items: dict[str, Item]  # those without a result
    attempts: int = 0


@dataclass
class _Seat(Generic[Item]):
    process: BaseProcess
    pipe: Connection
    batch: _Batch[Item] | None = None
    detail: str = ""  # what its work failed with


@dataclass(frozen=True)
class _Fault:
    """What a worker ends with: a sentence for the user, or the failure of its items."""

    sentence: str
    is_users: bool


class LocalPool:
    """Runs work in processes of this host, each of which opens it.

    Args:
        workers: processes.
        gpus: the names of the GPUs, as CUDA_VISIBLE_DEVICES has them, which the workers share
            out in turn; none for work on the CPU.
    """

    spreads = True

    def __init__(self, workers: int, gpus: tuple[str, ...] = ()) -> None:
        self.workers, self.gpus = workers, gpus

    def map(
        self,
        opener: Opener[Item, Result],
        items: Iterable[tuple[str, Item]],
        *,
        batch: int = BATCH,
        overlap: bool = False,
    ) -> Iterator[tuple[str, Result | Lost]]:
        """Yield (key, result) for each item; see `Engine.map`. A worker has one batch at a time."""
        run = _Run(self, opener, iter(items), batch * BATCHES_A_WORKER)
        try:
            yield from run.results()
        finally:
            run.close()


@dataclass
class _Run(Generic[Item, Result]):
    pool: LocalPool
    opener: Opener[Item, Result]
    items: Iterator[tuple[str, Item]]
    size: int
    seats: list[_Seat[Item]] = field(default_factory=list)
    again: deque[_Batch[Item]] = field(default_factory=deque)
    deaths: int = 0

    def results(self) -> Iterator[tuple[str, Result | Lost]]:
        for place in range(self.pool.workers):
            batch = self._next()
            if batch is None:
                break
            self.seats.append(self._start(place))
            self._give(self.seats[place], batch)
        while any(seat.batch for seat in self.seats):
            by_pipe = {seat.pipe: place for place, seat in enumerate(self.seats) if seat.batch}
            for pipe in cast("list[Connection]", wait(list(by_pipe))):
                yield from self._answer(by_pipe[pipe])

    def close(self) -> None:
        for seat in self.seats:
            with suppress(OSError):
                seat.pipe.send(None)
            seat.pipe.close()
        for seat in self.seats:
            seat.process.join(0 if seat.batch else CLOSING_SECONDS)
            if seat.process.is_alive():
                seat.process.kill()
                seat.process.join()

    def _next(self) -> _Batch[Item] | None:
        if self.again:
            return self.again.popleft()
        taken = dict(islice(self.items, self.size))
        return _Batch(taken) if taken else None

    def _start(self, place: int) -> _Seat[Item]:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        gpus = self.pool.gpus
        gpu = gpus[place % len(gpus)] if gpus else None
        threads = max(1, (os.cpu_count() or 1) // self.pool.workers)
        process = context.Process(
            target=_work, args=(theirs, self.opener, gpu, threads), daemon=True
        )
        process.start()
        theirs.close()  # so that the worker's end is the end of the pipe
        return _Seat(process, ours)

    def _give(self, seat: _Seat[Item], batch: _Batch[Item] | None) -> None:
        seat.batch = batch
        if batch is not None:
            with suppress(OSError):  # it has ended, which reading from it will show
                seat.pipe.send(batch.items)

    def _answer(self, place: int) -> Iterator[tuple[str, Result | Lost]]:
        """Take what a worker sent: a result, that its batch is done, a fault, or its end."""
        seat = self.seats[place]
        assert seat.batch is not None
        try:
            message = seat.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace(place)
            return
        if message is None:
            self._give(seat, self._next())
        elif isinstance(message, _Fault):
            if message.is_users:
                raise UserError(message.sentence)
            seat.detail = message.sentence
        else:
            key, result = message
            self.deaths = 0
            del seat.batch.items[key]
            yield key, result

    def _replace(self, place: int) -> Iterator[tuple[str, Lost]]:
        """Start a worker in the place of one that ended, and try its items again."""
        seat = self.seats[place]
        assert seat.batch is not None
        seat.pipe.close()
        seat.process.join()
        detail = seat.detail or f"the worker ended with code {seat.process.exitcode}"
        self.deaths += 1
        if self.deaths > DEATHS_IN_A_ROW + 2 * self.pool.workers:
            raise UserError(
                f"{self.deaths} workers ended one after the other without a result ({detail}); "
                "give fewer --workers where memory runs out, and run the command again."
            )
        batch = seat.batch
        batch.attempts += 1
        if batch.attempts < ATTEMPTS:
            self.again.appendleft(batch)
        elif len(batch.items) > 1:
            self.again.extend(_Batch({key: item}) for key, item in batch.items.items())
        else:
            yield from ((key, Lost(detail)) for key in batch.items)
        following = self._next()
        if following is None:
            seat.batch = None
            return
        self.seats[place] = self._start(place)
        self._give(self.seats[place], following)


def _work(pipe: Connection, opener: Opener[Item, Result], gpu: str | None, threads: int) -> None:
    """Open the work and run it on what comes, until None comes or the driver has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver gets it, too, and ends this process
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            with opener() as work:
                while (items := pipe.recv()) is not None:
                    for answer in work(items):
                        pipe.send(answer)
                    pipe.send(None)
        except UserError as error:
            pipe.send(_Fault(str(error), is_users=True))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            pipe.send(_Fault(f"{type(error).__name__}: {error}", is_users=False))
