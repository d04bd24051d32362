"""Work for the tests of the Ray engine: it doubles numbers, and ends its process where told to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genfilt.common.errors import UserError
from genfilt.engines.protocol import Work


@dataclass(frozen=True)
class Doubling:
    """Opens the doubling of numbers.

    Attributes:
        killed_by: the number that ends its worker each time.
        killed_once_by: the number that ends its worker until the file `mark` exists.
        mark: the file.
        raised_by: the number that raises.
        refused_from: the number from which on a UserError is raised.
        seconds: that each number takes.
    """

    killed_by: int = -1
    killed_once_by: int = -1
    mark: Path = Path("no mark")
    raised_by: int = -1
    refused_from: int = 1 << 30
    seconds: float = 0.0

    @contextmanager
    def __call__(self) -> Iterator[Work[int, int]]:
        yield self.work

    def work(self, items: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        for key, number in items.items():
            time.sleep(self.seconds)
            if number == self.killed_by:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.killed_once_by and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.raised_by:
                raise ValueError(f"{number} is odd")
            if number >= self.refused_from:
                raise UserError("The model is gone; start it again.")
            yield key, 2 * number


def numbers(count: int) -> Iterator[tuple[str, int]]:
    return ((str(number), number) for number in range(count))


def doubled(count: int) -> dict[str, object]:
    return {str(number): 2 * number for number in range(count)}
