"""The loop of an extraction step: stream what is missing through a generator, write, count."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pyarrow as pa

from genfilt.common.console import say, track
from genfilt.common.errors import UserError
from genfilt.generators.protocols import Failure
from genfilt.ingest.given_texts import GIVEN, KEYS
from genfilt.store.failures import clear_failures, write_failures
from genfilt.store.store import Store

ROWS_PER_WRITE = 1024
SECONDS_PER_WRITE = 5.0  # a killed run loses no more than this much work
MIN_WATCHED = 20  # items before a share of failures is taken for that of the whole run

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StepCounts:
    """The outcomes of a step's items."""

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
    to_row: Callable[[str, Result], dict[str, object]]

    def run(self, store: Store, missing: Mapping[str, Item], there: int) -> StepCounts:
        """Work through `missing`, writing as results arrive, and return the counts.

        The generator gets all items at once, so that its requests never wait for a batch's end.
        """
        watch = FailureWatch(self.name)
        store.make_room(len(missing))
        with track(f"{self.name} ({self.generator})", len(missing)) as advance:
            for outcomes in _collect(self.work(missing)) if missing else ():
                self.write(store, outcomes)
                watch.count(outcomes)
                advance(len(outcomes))
        watch.conclude()
        return StepCounts(watch.total - watch.failed, watch.failed, there)

    def write(self, store: Store, outcomes: Sequence[tuple[str, Result | Failure]]) -> int:
        """Write results and failures in one transaction; return how many failed."""
        results = [(k, o) for k, o in outcomes if not isinstance(o, Failure)]
        failures = [(k, o) for k, o in outcomes if isinstance(o, Failure)]
        with store.transaction():
            if results:
                rows = [self.to_row(key, result) for key, result in results]
                store.insert(self.table, pa.Table.from_pylist(rows), replace=True)
                clear_failures(store, self.name, self.generator, [key for key, _ in results])
            write_failures(store, self.name, self.generator, _storable(failures))
        return len(failures)


@dataclass
class FailureWatch:
    """Counts failures and says loudly when over half of the items fail: early, and at the end."""

    step: str
    total: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    example: str = ""
    warned: bool = False

    def count(self, outcomes: Sequence[tuple[str, object]]) -> None:
        """Count outcomes; the first time that over half have failed, say so."""
        self.total += len(outcomes)
        for _, outcome in outcomes:
            if isinstance(outcome, Failure):
                self.failed += 1
                self.reasons[outcome.reason] += 1
                self.example = outcome.detail
        if not self.warned and self.total >= MIN_WATCHED and self._most_fail():
            self.warned = True
            self._warn(f"of the first {self.total:,}", "Stop with Ctrl-C unless this is expected.")

    def conclude(self) -> None:
        """Say at the end of a run that over half of its items have failed."""
        if self._most_fail():
            self._warn(f"of {self.total:,}", "Correct the cause and run with --retry-failed.")

    def _most_fail(self) -> bool:
        return 2 * self.failed > self.total

    def _warn(self, of: str, advice: str) -> None:
        reason, _ = self.reasons.most_common(1)[0]
        example = " ".join(self.example.split())[:200]
        say(
            f"WARNING: {self.step} failed for {self.failed:,} {of} items, most often: {reason} "
            f"(last: {example or 'no detail'}). {advice}"
        )


def clear_absent_failures(store: Store, step: str, keys: str) -> None:
    """Remove a step's failures of items that the catalogue has no more, as after a repaired file.

    Args:
        store: the tables.
        step: the step's name in the failures table.
        keys: SQL that gives the keys of the catalogue's items.
    """
    store.connection.execute(
        f"DELETE FROM failures WHERE step = ? AND item_key NOT IN ({keys})", [step]
    )


def forget_given(store: Store) -> None:
    """Remove the attributes and captions that ingest was given, so that they are read anew."""
    with store.transaction():
        for table in KEYS:
            store.connection.execute(f"DELETE FROM {table} WHERE generator = ?", [GIVEN])


def _storable(failures: Sequence[tuple[str, Failure]]) -> list[tuple[str, Failure]]:
    """Return failures whose details are Unicode text: file names and replies may hold other."""
    return [
        (key, Failure(failure.reason, failure.detail.encode("utf-8", "replace").decode()))
        for key, failure in failures
    ]


def _collect(
    outcomes: Iterator[tuple[str, Result | Failure]],
) -> Iterator[list[tuple[str, Result | Failure]]]:
    """Group outcomes into what one transaction writes."""
    waiting: list[tuple[str, Result | Failure]] = []
    since = time.monotonic()
    try:
        for outcome in outcomes:
            waiting.append(outcome)
            if len(waiting) >= ROWS_PER_WRITE or time.monotonic() - since > SECONDS_PER_WRITE:
                yield waiting
                waiting, since = [], time.monotonic()
    except (UserError, KeyboardInterrupt):  # a server that is gone: its answers are kept
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting
