"""One run of many requests over one or several servers, each with a window of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.generators.llm.request_window import BusyError, RequestWindow, RetryPolicy
from genfilt.generators.protocols import Failure

Item = TypeVar("Item")
Result = TypeVar("Result")
Ask = Callable[[Item], Awaitable[Result]]


@dataclass
class Endpoint(Generic[Item, Result]):
    """One server of a run.

    Attributes:
        name: its URL, for messages.
        connect: opens its connections and gives the function that sends a request.
        window: how many requests it has in flight at most.
        check: raises UserError where the server is known to have ended.
        in_flight: the requests that it has now.
        last_answer: when it last answered.
    """

    name: str
    connect: Callable[[], AbstractAsyncContextManager[Ask[Item, Result]]]
    window: RequestWindow
    check: Callable[[], None]
    ask: Ask[Item, Result] | None = None
    in_flight: int = 0
    last_answer: float = field(default_factory=time.monotonic)

    @property
    def room(self) -> int:
        """How many more requests it may have in flight."""
        return self.window.size - self.in_flight


class RequestRun(Generic[Item, Result]):
    """Requests for many items: each is asked until it has a result or its attempts are used up.

    A server that is given up is dropped and its items are asked elsewhere; the last one ends the
    run.
    """

    def __init__(self, endpoints: Sequence[Endpoint[Item, Result]], policy: RetryPolicy) -> None:
        self._alive, self._policy = list(endpoints), policy
        self.dropped: set[str] = set()  # names of the servers that were given up
        # Results go from the run's thread to the caller's, None at the end.
        self._results: queue.SimpleQueue[tuple[str, Result | Failure] | None] = queue.SimpleQueue()
        self._in_flight = 0
        self._feeding = True  # while items wait to be sent
        self._changed = asyncio.Event()  # a request has ended, well or not
        self._ending = asyncio.Event()  # nothing more is asked
        self._fault: BaseException | None = None

    def run(self, items: Mapping[str, Item]) -> Iterator[tuple[str, Result | Failure]]:
        """Yield (key, result) for each item as it comes, from a thread of its own.

        Raises UserError when the last server is gone; what was yielded before stays good.
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
        requests: set[asyncio.Task[None]] = set()
        async with AsyncExitStack() as connections:
            for endpoint in self._alive:
                endpoint.ask = await connections.enter_async_context(endpoint.connect())
                endpoint.last_answer = time.monotonic()
            try:
                await self._feed(items, requests)
            finally:
                self._ending.set()
                await _finish(requests)

    async def _feed(self, items: Mapping[str, Item], requests: set[asyncio.Task[None]]) -> None:
        """Send each item when there is room and wait for the last; the first fault ends it."""
        for key, item in items.items():
            while self._roomiest().room <= 0:
                await self._change()
            endpoint = self._roomiest()
            self._in_flight += 1
            endpoint.in_flight += 1
            request = asyncio.create_task(self._complete(endpoint, key, item))
            requests.add(request)
            request.add_done_callback(requests.discard)
        self._feeding = False
        while self._in_flight:
            await self._change()

    def _roomiest(self) -> Endpoint[Item, Result]:
        return max(self._alive, key=lambda endpoint: endpoint.room)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
        if self._fault is not None:
            raise self._fault

    async def _complete(self, endpoint: Endpoint[Item, Result], key: str, item: Item) -> None:
        try:
            self._results.put((key, await self._ask_until_answered(endpoint, item)))
        except Exception as fault:
            self._fault = self._fault or fault
        finally:
            self._in_flight -= 1
            self._changed.set()

    async def _ask_until_answered(
        self, endpoint: Endpoint[Item, Result], item: Item
    ) -> Result | Failure:
        """Ask until there is a result; the item has its place in the endpoint's window already.

        It keeps that place while it pauses: so a server in trouble holds up few items.
        """
        spent, attempt = 0, 0
        while True:
            try:
                return await self._ask_once(endpoint, item)
            except BusyError as busy:
                spent += busy.weight
                if spent >= self._policy.attempts:
                    return Failure("server could not answer", str(busy))
                await self._pause(endpoint, attempt, busy)
                attempt += 1
            except UserError as fault:
                self._drop(endpoint, fault)
            finally:
                endpoint.in_flight -= 1
                self._changed.set()
            endpoint = self._roomiest()
            endpoint.in_flight += 1

    async def _ask_once(self, endpoint: Endpoint[Item, Result], item: Item) -> Result:
        assert endpoint.ask is not None  # set before the first item is sent
        mark = endpoint.window.mark
        try:
            result = await endpoint.ask(item)
        except BusyError as busy:
            endpoint.window.trouble(mark)
            self._check_silence(endpoint, busy)
            raise
        endpoint.last_answer = time.monotonic()
        endpoint.window.answered(full=self._feeding)
        return result

    async def _pause(self, endpoint: Endpoint[Item, Result], attempt: int, busy: BusyError) -> None:
        """Wait before the next attempt; raises the error where the run is ending."""
        if endpoint not in self._alive:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), self._policy.pause(attempt, busy))
            raise busy

    def _check_silence(self, endpoint: Endpoint[Item, Result], busy: BusyError) -> None:
        """Drop a server that has ended, or has not answered for too long."""
        if endpoint not in self._alive:
            return
        try:
            endpoint.check()
            silent = time.monotonic() - endpoint.last_answer
            others = any(
                other.last_answer > endpoint.last_answer
                for other in self._alive
                if other is not endpoint
            )
            if silent >= (self._policy.others_silence if others else self._policy.silence):
                raise UserError(
                    f"No answer for {silent:.0f} s, last: {busy}. What was answered is kept; mend "
                    "or restart the server and run the same command again."
                )
        except UserError as fault:
            self._drop(endpoint, fault)

    def _drop(self, endpoint: Endpoint[Item, Result], fault: UserError) -> None:
        """Take a server out of the run; raise its fault where it is the last one."""
        if endpoint not in self._alive:
            return
        if len(self._alive) == 1:
            raise fault
        self._alive.remove(endpoint)
        self.dropped.add(endpoint.name)
        say(f"{endpoint.name} is dropped and its items are asked elsewhere: {fault}")


async def _finish(requests: set[asyncio.Task[None]]) -> None:
    """End what is still in flight.

    A request that is cancelled while it connects would leave its socket open; so each is given the
    moment that connecting takes.
    """
    if requests:
        _, late = await asyncio.wait(requests, timeout=1.0)
        for request in late:
            request.cancel()
        await asyncio.gather(*late, return_exceptions=True)
