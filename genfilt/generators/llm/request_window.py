"""Many requests at once to a server of unknown limits: a window that adapts, and patience."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from genfilt.common.errors import UserError
from genfilt.generators.protocols import Failure

Item = TypeVar("Item")
Result = TypeVar("Result")
Ask = Callable[[Item], Awaitable[Result]]


class BusyError(Exception):
    """The server could not answer now: 429, 5xx, a time-out, a broken connection."""

    def __init__(self, words: str, retry_after: float = 0.0, weight: int = 1) -> None:
        super().__init__(words)
        self.retry_after = retry_after  # seconds that the server asked for
        self.weight = weight  # of how many attempts it uses up: a time-out is a long wait


@dataclass(frozen=True)
class Patience:
    """How often and how long a server that cannot answer is asked again."""

    attempts: int = 10  # for one item, while others are answered
    silence: float = 60.0  # seconds without one answer, after which trouble stops the run
    first_pause: float = 0.25  # seconds, doubled at each attempt
    longest_pause: float = 20.0

    def pause(self, attempt: int, asked: float) -> float:
        """Return the seconds before the next attempt, spread so that retries do not meet."""
        pause = min(self.longest_pause, self.first_pause * 2.0**attempt)
        return max(asked, pause * random.uniform(0.5, 1.0))


class Window:
    """How many requests are in flight.

    It doubles while that brings more answers a second, and then stays. Trouble halves it, once for
    all the requests that were in flight when it came, and from there it grows by one for each
    window of answers.
    """

    def __init__(self, size: int = 32, smallest: int = 2, largest: int = 512) -> None:
        self.size = size
        self.mark = 0  # how often it was cut
        self._smallest, self._largest = smallest, largest
        self._answers = 0
        self._since: float | None = None  # when the measured round began
        self._best = 0.0  # answers per second
        self._settled = False

    def answered(self, full: bool) -> None:
        """Count an answer; what comes in when no more is sent tells nothing of the server."""
        if not full:
            self._answers, self._since = 0, None
            return
        self._answers += 1
        if self._settled:
            if self._answers >= self.size and self.mark and self.size < self._largest:
                self.size, self._answers = self.size + 1, 0
        elif self._since is None:  # a first round lets a changed window fill
            if self._answers >= self.size:
                self._answers, self._since = 0, time.monotonic()
        elif self._answers >= 2 * self.size:
            self._judge(self._answers / max(time.monotonic() - self._since, 1e-9))

    def trouble(self, mark: int) -> None:
        """Halve the window, unless that was done since the request set out at `mark`."""
        if mark == self.mark:
            self.mark += 1
            self.size = max(self._smallest, self.size // 2)
            self._settled, self._answers = True, 0

    def _judge(self, rate: float) -> None:
        self._settled = rate < 1.05 * self._best or self.size >= self._largest
        self._best = max(self._best, rate)
        if not self._settled:
            self.size = min(2 * self.size, self._largest)
        self._answers, self._since = 0, None


class Flight(Generic[Item, Result]):
    """One run of requests: each item is asked until it has a result or patience ends."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Ask[Item, Result]]],
        window: Window,
        patience: Patience,
        check: Callable[[], None],
    ) -> None:
        """Take what to ask with; `check` raises where the server is known to be gone."""
        self._connect, self._window, self._patience = connect, window, patience
        self._check = check
        self._results: queue.SimpleQueue[tuple[str, Result | Failure] | None] = queue.SimpleQueue()
        self._flying = 0
        self._feeding = True  # while items wait to be sent
        self._landed = asyncio.Event()  # a request has ended, well or not
        self._ending = asyncio.Event()  # nothing more is asked
        self._last_answer = 0.0
        self._fault: BaseException | None = None

    def run(self, items: Mapping[str, Item]) -> Iterator[tuple[str, Result | Failure]]:
        """Yield (key, result) for each item as it comes, from a thread of its own.

        Raises UserError when the server is gone; what was yielded before stays good.
        """
        loop = asyncio.new_event_loop()
        task = loop.create_task(self._main(items))
        thread = threading.Thread(target=self._work, args=(loop, task), daemon=True)
        thread.start()
        try:
            while (found := self._results.get()) is not None:
                yield found
        finally:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(task.cancel)
            thread.join()
        if self._fault is not None:
            raise self._fault

    def _work(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as fault:
            self._fault = fault
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            self._results.put(None)

    async def _main(self, items: Mapping[str, Item]) -> None:
        self._last_answer = time.monotonic()
        flights: set[asyncio.Task[None]] = set()
        async with self._connect() as ask:
            try:
                await self._feed(ask, items, flights)
            finally:
                self._ending.set()
                await _land(flights)

    async def _feed(
        self, ask: Ask[Item, Result], items: Mapping[str, Item], flights: set[asyncio.Task[None]]
    ) -> None:
        """Send each item when there is room and wait for the last; the first fault ends it."""
        for key, item in items.items():
            while self._flying >= self._window.size:
                await self._landing()
            self._flying += 1
            flight = asyncio.create_task(self._fly(ask, key, item))
            flights.add(flight)
            flight.add_done_callback(flights.discard)
        self._feeding = False
        while self._flying:
            await self._landing()

    async def _landing(self) -> None:
        self._landed.clear()
        await self._landed.wait()
        if self._fault is not None:
            raise self._fault

    async def _fly(self, ask: Ask[Item, Result], key: str, item: Item) -> None:
        try:
            self._results.put((key, await self._insist(ask, item)))
        except Exception as fault:
            self._fault = self._fault or fault
        finally:
            self._flying -= 1
            self._landed.set()

    async def _insist(self, ask: Ask[Item, Result], item: Item) -> Result | Failure:
        spent, attempt = 0, 0
        while True:
            mark = self._window.mark
            try:
                result = await ask(item)
            except BusyError as busy:
                self._window.trouble(mark)
                self._lose_patience(busy)
                spent += busy.weight
                if spent >= self._patience.attempts:
                    return Failure("server could not answer", str(busy))
                pause = self._patience.pause(attempt, busy.retry_after)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), pause)
                    raise
                attempt += 1
            else:
                self._last_answer = time.monotonic()
                self._window.answered(full=self._feeding)
                return result

    def _lose_patience(self, busy: BusyError) -> None:
        self._check()
        silent = time.monotonic() - self._last_answer
        if silent >= self._patience.silence:
            raise UserError(
                f"No answer for {silent:.0f} s, last: {busy}. What was answered is kept; mend or "
                "restart the server and run the same command again."
            )


async def _land(flights: set[asyncio.Task[None]]) -> None:
    """End what is still in flight.

    A request that is cancelled while it connects would leave its socket open; so each is given the
    moment that connecting takes.
    """
    if flights:
        _, late = await asyncio.wait(flights, timeout=1.0)
        for flight in late:
            flight.cancel()
        await asyncio.gather(*late, return_exceptions=True)
