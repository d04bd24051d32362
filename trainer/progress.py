"""What a long run shows on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[[int, Mapping[str, float]], None]
"""Takes how many steps are done, and named values of the last."""


def remark(text: str) -> None:
    """Write a line for people, beside the answer."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def silent(done: int, values: Mapping[str, float]) -> None:
    """Show nothing, as processes other than the first do."""


@contextmanager
def progress(title: str, steps: int, done: int = 0, *, show: bool = True) -> Iterator[Report]:
    """Show the way through steps, `done` of them already behind, for as long as the block lasts."""
    if not show:
        yield silent
    elif sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(title, total=steps, completed=done, values="", rate="")
            began = time.monotonic()

            def move(now: int, values: Mapping[str, float]) -> None:
                rate = (now - done) / max(time.monotonic() - began, 1e-9)
                bar.update(task, completed=now, values=_named(values), rate=f"{rate:.2f}/s")

            yield move
    else:
        yield Lines(title, steps, done)


class Lines:
    """Writes a line now and then, and one at the end."""

    def __init__(self, title: str, steps: int, done: int) -> None:
        self.title, self.steps, self.first = title, steps, done
        self.began = self.last = time.monotonic()

    def __call__(self, done: int, values: Mapping[str, float]) -> None:
        """Write a line where the last is long enough ago, or this is the end."""
        now = time.monotonic()
        if done < self.steps and now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.began, 1e-9)
        left = (self.steps - done) / rate if rate else 0.0
        remark(
            f"{self.title} {done}/{self.steps} {_named(values)} "
            f"{rate:.2f} steps/s {left:.0f} s left"
        )


def _named(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
