"""Remarks and progress on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Takes how many items were just completed, and named values to show (losses, say)."""

    def __call__(self, count: int, values: Mapping[str, float] = ..., /) -> None:
        """Count items as completed."""


@dataclass
class _Level:
    quiet: bool = False
    verbose: bool = False


_level = _Level()


def set_level(*, quiet: bool, verbose: bool) -> None:
    """Choose what `say` and `track` print: nothing when quiet; verbose adds details of errors."""
    _level.quiet, _level.verbose = quiet, verbose


def is_verbose() -> bool:
    """Tell whether details were asked for."""
    return _level.verbose


def say(remark: str) -> None:
    """Print a remark on standard error, unless quiet; answers go to standard output alone."""
    if not _level.quiet:
        complain(remark)


def complain(error: str) -> None:
    """Print an error on standard error, quiet or not.

    Control characters, which a catalogue's text may hold, become blanks: a terminal obeys them.
    A standard error that is closed or full stops no work.
    """
    if sys.stderr is None:
        return
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in error)
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def track(what: str, total: int | None, *, done: int = 0, show: bool = True) -> Iterator[Advance]:
    """Show the progress of work; the context gives a function that takes the items just completed.

    Args:
        what: the work in a word or two.
        total: the number of items, None where it is not known.
        done: items completed before, by a run that is resumed.
        show: False for processes that share the work of one that shows it.
    """
    if not show or _level.quiet:
        yield _silent
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar(what, total, done) as advance:
            yield advance
    else:
        lines = _Lines(what, total, done)
        yield lines
        lines.finish()


def _silent(count: int, values: Mapping[str, float] = {}, /) -> None:
    pass


@contextmanager
def _bar(what: str, total: int | None, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=done, values="", rate="")
        started = time.monotonic()
        completed = 0

        def advance(count: int, values: Mapping[str, float] = {}, /) -> None:
            nonlocal completed
            completed += count
            rate = completed / max(time.monotonic() - started, 1e-9)
            progress.update(task, advance=count, values=_named(values), rate=_rate(rate))

        yield advance


class _Lines:
    """Writes a line every SECONDS_BETWEEN_LINES, and one at the end."""

    def __init__(self, what: str, total: int | None, done: int) -> None:
        self.what, self.total, self.before = what, total, done
        self.completed = 0
        self.values: Mapping[str, float] = {}
        self.started = self.last = time.monotonic()
        self.written = -1  # completed items as of the last line

    def __call__(self, count: int, values: Mapping[str, float] = {}, /) -> None:
        self.completed += count
        self.values = values or self.values
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self._write()

    def finish(self) -> None:
        """Write the final count, unless the last line has it already."""
        if self.written < self.completed and self.completed:
            self._write()

    def _write(self) -> None:
        self.last, self.written = time.monotonic(), self.completed
        rate = self.completed / max(self.last - self.started, 1e-9)
        done = self.before + self.completed
        line = f"{self.what}: {done:,}"
        if self.total is not None:
            line += f" of {self.total:,}"
            if rate and done < self.total:
                line += f", {(self.total - done) / rate:,.0f} s left"
        line += f" ({_rate(rate)})"
        say(f"{line} {_named(self.values)}".rstrip())


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _named(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())
