"""The protocol of engines: work that is opened once a worker and run on items by key.

Neither genfilt's steps nor the trainer are known here; both use engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Mapping[str, Item]], Iterator[tuple[str, Result]]]
"""Yields (key, result) for each of the items, in any order."""
Opener = Callable[[], AbstractContextManager[Work[Item, Result]]]
"""Opens the work where it runs, a model or a server say, and closes it; can be pickled."""

BATCH = 64  # items that travel to a worker together


@dataclass(frozen=True)
class Lost:
    """An item without a result, since every worker that had it ended or failed.

    Attributes:
        detail: what the last one ended or failed with.
    """

    detail: str


class Engine(Protocol):
    """Runs work over items, here or on other hosts."""

    @property
    def spreads(self) -> bool:
        """Whether the work runs in several processes, each of which opens it."""
        ...

    def map(
        self,
        opener: Opener[Item, Result],
        items: Iterable[tuple[str, Item]],
        *,
        batch: int = BATCH,
        overlap: bool = False,
    ) -> Iterator[tuple[str, Result | Lost]]:
        """Yield (key, result) for each item, each key once, in any order.

        Args:
            opener: opens the work; in every process, where the engine spreads.
            items: key and item; keys are distinct.
            batch: items that a process takes at a time.
            overlap: a process may work on two batches at once, as suits work that waits for a
                server; the work must then allow two threads.

        Raises:
            UserError: nobody can do the work, for example since no model server is left.
        """
        ...
