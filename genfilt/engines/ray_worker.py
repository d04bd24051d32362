"""A worker process of the Ray engine: it opens work once and runs it on batches."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genfilt.common.console import set_level
from genfilt.common.errors import UserError
from genfilt.engines.protocol import Opener, Work
from genfilt.engines.versions import difference, versions

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """What a worker made of a batch.

    Attributes:
        results: of the items that have one, by key.
        fault: why the work cannot go on, for the rest of the batch or any other; None where it can.
    """

    results: list[tuple[str, Result]] = field(default_factory=list)
    fault: str | None = None


@dataclass(frozen=True)
class Driver:
    """What a worker takes over from the driver.

    Attributes:
        versions: that the worker must have too.
        settings: environment variables, for those that the worker's host has not set.
        verbose: whether details are printed.
    """

    versions: Mapping[str, str]
    settings: Mapping[str, str]
    verbose: bool


class RayWorker(Generic[Item, Result]):
    """The process behind an actor."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._work: Work[Item, Result] | None = None
        self._first, self._warm = threading.Lock(), False

    def open(self, driver: Driver, opener: Opener[Item, Result]) -> None:
        """Open the work.

        Raises:
            UserError: the worker's versions are not the driver's, or the work cannot be opened.
        """
        set_level(quiet=False, verbose=driver.verbose)
        for name, value in driver.settings.items():
            os.environ.setdefault(name, value)
        unlike = difference(driver.versions, versions())
        if unlike is not None:
            raise UserError(
                f"The worker on {platform.node()} {unlike}: install the same on every node."
            )
        self._work = self._stack.enter_context(opener())

    def run(self, items: Sequence[tuple[str, Item]]) -> Answer[Result]:
        """Run the work on a batch; a UserError in it is an answer, with what was done before."""
        if self._warm:
            return self._run(items)
        with self._first:  # a model or server that opens at the first use opens once
            answer = self._run(items)
            self._warm = True
        return answer

    def _run(self, items: Sequence[tuple[str, Item]]) -> Answer[Result]:
        assert self._work is not None
        results: list[tuple[str, Result]] = []
        try:
            for found in self._work(dict(items)):
                results.append(found)  # noqa: PERF402 (kept where a later one raises)
        except UserError as error:
            return Answer(results, str(error))
        return Answer(results)

    def close(self) -> None:
        """Close the work: a server that it started ends."""
        self._work = None
        self._stack.close()
