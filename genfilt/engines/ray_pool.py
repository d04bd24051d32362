"""A pool of Ray actors over batches: bounded in flight, and whole where actors and nodes end.

Ray Data's pools restart an actor without end whose batch kills it each time, and fail the job on
a batch that raises; here a batch is tried twice, then its items one by one, and an item that ends
its worker again is lost alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, cast

import ray
from ray.exceptions import RayError, RayTaskError

from genfilt.common.console import is_verbose, say
from genfilt.common.errors import UserError
from genfilt.engines.protocol import Item, Lost, Opener, Result
from genfilt.engines.ray_worker import Answer, Driver, RayWorker
from genfilt.engines.versions import versions

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

IN_FLIGHT = 2  # batches an actor has: one that it works on, one that waits
ATTEMPTS = 2  # of a batch; then its items go one by one, and each has as many
MAX_SPREAD = 16  # batches a worker, from the oldest unfinished one to the newest begun
DEATHS_IN_A_ROW = 10  # beside two a worker, without one finished batch between them
SECONDS_BETWEEN_REMARKS = 30.0
CLOSING_SECONDS = 5.0


@dataclass
class Batch(Generic[Item]):
    """Items that travel together; `place` counts the batches in the order of the items."""

    place: int
    items: list[tuple[str, Item]]
    attempts: int = 0


@dataclass
class Seat(Generic[Item]):
    """A worker's place in the pool: its actor, and what that does now, oldest first."""

    actor: ActorHandle[RayWorker[Any, Any]]
    opening: ObjectRef[None] | None
    running: dict[ObjectRef[Answer[Any]], Batch[Item]] = field(default_factory=dict)


class Pool(Generic[Item, Result]):
    """One run of work over items.

    Args:
        opener: opens the work in each actor.
        workers: how many actors.
        gpus: of each.
        overlap: an actor works on its two batches at once.
    """

    def __init__(
        self, opener: Opener[Item, Result], workers: int, gpus: float, *, overlap: bool
    ) -> None:
        self._working = IN_FLIGHT if overlap else 1  # batches that an actor works on at once
        self._opener = ray.put(opener)
        self._driver = ray.put(Driver(versions(), _settings(), is_verbose()))
        self._actors = ray.remote(RayWorker).options(
            num_cpus=1,
            num_gpus=gpus,
            scheduling_strategy="SPREAD",
            max_restarts=0,  # the pool replaces it and knows which batch it had
            max_concurrency=self._working,
        )
        self._seats: list[Seat[Item]] = [self._hire() for _ in range(workers)]
        self._again: deque[Batch[Item]] = deque()
        self._unfinished: dict[int, int] = {}  # place -> its items without an outcome
        self._deaths, self._said = 0, time.monotonic()

    def results(
        self, items: Iterable[tuple[str, Item]], batch: int
    ) -> Iterator[tuple[str, Result | Lost]]:
        """Yield (key, result) for each item as batches are finished; the actors end with it."""
        rest = iter(items)
        new = (
            Batch(place, part)
            for place, part in enumerate(iter(lambda: list(islice(rest, batch)), []))
        )
        try:
            while self._fill(new):
                waited: list[ObjectRef[Any]] = [r for seat in self._seats for r in seat.running]
                waited += [seat.opening for seat in self._seats if seat.opening is not None]
                ready, _ = ray.wait(waited, timeout=1.0)
                self._remark(bool(ready))
                for ref in ready:
                    yield from self._take(ref)
        finally:
            self._dismiss()

    def _hire(self) -> Seat[Item]:
        actor = cast("ActorHandle[RayWorker[Any, Any]]", self._actors.remote())
        return Seat(actor, actor.open.remote(self._driver, self._opener))

    def _fill(self, new: Iterator[Batch[Item]]) -> bool:
        """Hand out batches; return whether any has no outcome yet."""
        for count in range(IN_FLIGHT):  # first one for each
            for seat in self._seats:
                if seat.opening is None and len(seat.running) <= count:
                    batch = self._next(new)
                    if batch is not None:
                        seat.running[seat.actor.run.remote(batch.items)] = batch
        if not self._unfinished and (first := self._next(new)) is not None:
            self._again.append(first)  # nobody is ready yet; now it is known that there is work
        return bool(self._unfinished)

    def _next(self, new: Iterator[Batch[Item]]) -> Batch[Item] | None:
        if self._again:
            return self._again.popleft()
        oldest = next(iter(self._unfinished), None)
        newest = next(reversed(self._unfinished), 0)
        if oldest is not None and newest - oldest >= MAX_SPREAD * len(self._seats):
            return None
        batch = next(new, None)
        if batch is not None:
            self._unfinished[batch.place] = len(batch.items)
        return batch

    def _take(self, ref: ObjectRef[Any]) -> Iterator[tuple[str, Result | Lost]]:
        """Yield what a finished call gave, or put right what it broke."""
        seat = next((s for s in self._seats if ref == s.opening or ref in s.running), None)
        if seat is None:  # its actor ended, and was replaced
            return
        try:
            found = ray.get(ref)
        except RayTaskError as error:
            yield from self._raised(seat, ref, error)
        except RayError as error:
            yield from self._ended(seat, _sentence(error))
        else:
            if ref == seat.opening:
                seat.opening = None
                return
            self._deaths = 0
            yield from self._answered(seat, seat.running.pop(ref), found)

    def _answered(
        self, seat: Seat[Item], batch: Batch[Item], answer: Answer[Result]
    ) -> Iterator[tuple[str, Result | Lost]]:
        done = {key for key, _ in answer.results}
        rest = [(key, item) for key, item in batch.items if key not in done]
        self._finish(batch, len(batch.items) - len(rest))
        yield from answer.results
        if answer.fault is not None:
            if rest:
                self._again.append(Batch(batch.place, rest, batch.attempts))
            self._retire(seat, answer.fault)
        elif rest:
            yield from self._retry(Batch(batch.place, rest, batch.attempts), "no result came")

    def _raised(
        self, seat: Seat[Item], ref: ObjectRef[Any], error: RayTaskError
    ) -> Iterator[tuple[str, Result | Lost]]:
        """The worker lives: its versions or work are wrong for it, or the batch raised."""
        cause = error.cause
        if ref == seat.opening:
            plain = isinstance(cause, UserError)
            self._retire(seat, str(cause) if plain else f"{type(cause).__name__}: {cause}")
        else:
            yield from self._retry(seat.running.pop(ref), f"{type(cause).__name__}: {cause}")

    def _ended(self, seat: Seat[Item], why: str) -> Iterator[tuple[str, Result | Lost]]:
        """Replace an actor that died, alone or with its node; the batch that it worked on counts.

        With overlap that may be either of its batches, and both count.
        """
        self._deaths += 1
        say(f"A worker ended ({why}); another takes its place.")
        if self._deaths >= DEATHS_IN_A_ROW + 2 * len(self._seats):
            raise UserError(
                f"{self._deaths} workers ended one after another, the last so: {why}. Look at the "
                "nodes' memory and at Ray's logs, then run the command again: it goes on."
            )
        _kill(seat)
        batches = list(seat.running.values())
        self._seats[self._seats.index(seat)] = self._hire()
        self._again.extendleft(batches[self._working :])
        for batch in batches[: self._working]:
            yield from self._retry(batch, why)

    def _retry(self, batch: Batch[Item], why: str) -> Iterator[tuple[str, Result | Lost]]:
        batch.attempts += 1
        if batch.attempts < ATTEMPTS:
            self._again.append(batch)
        elif len(batch.items) > 1:
            self._again.extend(Batch(batch.place, [pair]) for pair in batch.items)
        else:
            self._finish(batch, 1)
            yield batch.items[0][0], Lost(why)

    def _finish(self, batch: Batch[Item], count: int) -> None:
        self._unfinished[batch.place] -= count
        if not self._unfinished[batch.place]:
            del self._unfinished[batch.place]

    def _retire(self, seat: Seat[Item], fault: str) -> None:
        """Take a worker out of the run; raise its fault where it is the last one."""
        if seat not in self._seats:
            return
        self._seats.remove(seat)
        self._again.extend(seat.running.values())
        _close(seat)
        if not self._seats:
            raise UserError(fault)
        say(f"One worker fewer, its batches go to the other {len(self._seats)}: {fault}")

    def _remark(self, moved: bool) -> None:
        """Say from time to time that no worker has started yet."""
        if moved or any(seat.opening is None for seat in self._seats):
            self._said = time.monotonic()
        elif time.monotonic() - self._said > SECONDS_BETWEEN_REMARKS:
            self._said = time.monotonic()
            say("Still waiting for a first worker: for room on the cluster, or for its model.")

    def _dismiss(self) -> None:
        for seat in self._seats:
            _close(seat)


def _settings() -> dict[str, str]:
    """Return genfilt's own settings, among them the access key of a model server."""
    return {name: value for name, value in os.environ.items() if name.startswith("GENFILT_")}


def _close(seat: Seat[Any]) -> None:
    """End an actor: by itself where it is idle, so that its server ends with it."""
    if seat.opening is None and not seat.running:
        with suppress(RayError, KeyboardInterrupt):
            ray.get(seat.actor.close.remote(), timeout=CLOSING_SECONDS)
    _kill(seat)


def _kill(seat: Seat[Any]) -> None:
    with suppress(RayError, ValueError):
        ray.kill(seat.actor)


def _sentence(error: RayError) -> str:
    """Return the gist of Ray's report of a death, which has many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if any(word in line for word in ("died", "exit", "memory"))]
    return [*named, type(error).__name__][0][:300].rstrip(".")
