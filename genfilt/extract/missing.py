"""What every step shares: work in batches through what is missing, write, count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa

from genfilt.common.console import track
from genfilt.common.errors import UserError
from genfilt.generators.protocols import Failure
from genfilt.store.failures import clear_failures, write_failures
from genfilt.store.store import Store

ITEMS_PER_CALL = 4096  # bounds what a generator holds at once
ROWS_PER_WRITE = 1024
SECONDS_PER_WRITE = 5.0  # a killed run loses no more than this much work

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StepCounts:
    """What became of a step's items."""

    done: int
    failed: int
    there: int  # finished by an earlier run


@dataclass(frozen=True)
class Step(Generic[Item, Result]):
    """One generator's work on the items that it has not done yet.

    Attributes:
        name: the step's name in the failures table.
        generator: the generator's name.
        table: where results go.
        work: yields (key, result or failure) for each of the items by key, in any order.
        to_row: a result as a row of `table`.
    """

    name: str
    generator: str
    table: str
    work: Callable[[Mapping[str, Item]], Iterator[tuple[str, Result | Failure]]]
    to_row: Callable[[str, Result], dict[str, Any]]

    def run(self, store: Store, missing: Sequence[tuple[str, Item]], there: int) -> StepCounts:
        """Work through `missing`, writing as results arrive, and return the counts."""
        done = failed = 0
        with track(f"{self.name} ({self.generator})", len(missing)) as advance:
            for start in range(0, len(missing), ITEMS_PER_CALL):
                items = dict(missing[start : start + ITEMS_PER_CALL])
                for outcomes in _collect(self.work(items)):
                    worse = self.write(store, outcomes)
                    done, failed = done + len(outcomes) - worse, failed + worse
                    advance(len(outcomes))
        return StepCounts(done, failed, there)

    def write(self, store: Store, outcomes: Sequence[tuple[str, Result | Failure]]) -> int:
        """Write results and failures in one transaction; return how many failed."""
        results = [(k, o) for k, o in outcomes if not isinstance(o, Failure)]
        failures = [(k, o) for k, o in outcomes if isinstance(o, Failure)]
        with store.transaction():
            if results:
                rows = [self.to_row(key, result) for key, result in results]
                store.insert(self.table, pa.Table.from_pylist(rows), replace=True)
                clear_failures(store, self.name, self.generator, [key for key, _ in results])
            write_failures(store, self.name, self.generator, failures)
        return len(failures)


def _collect(
    outcomes: Iterator[tuple[str, Result | Failure]],
) -> Iterator[list[tuple[str, Result | Failure]]]:
    """Group outcomes into what one transaction writes."""
    held: list[tuple[str, Result | Failure]] = []
    since = time.monotonic()
    try:
        for outcome in outcomes:
            held.append(outcome)
            if len(held) >= ROWS_PER_WRITE or time.monotonic() - since > SECONDS_PER_WRITE:
                yield held
                held, since = [], time.monotonic()
    except (UserError, KeyboardInterrupt):  # a server that is gone: what it said is kept
        if held:
            yield held
        raise
    if held:
        yield held
