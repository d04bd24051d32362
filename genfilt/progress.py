"""Progress of long work on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int], None]


def say(remark: str) -> None:
    """Print a remark on standard error; answers go to standard output alone."""
    print(remark, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def track(what: str, total: int | None) -> Iterator[Advance]:
    """Show how far `what` has come; the context gives a function that takes the items just done.

    Args:
        what: the work in a word or two.
        total: how many items there are, None where it is not known.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        yield _lines(what, total)


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Advance]:
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
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="")
        started = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - started, 1e-9)
            progress.update(task, advance=count, rate=f"{rate:,.0f}/s")

        yield advance


def _lines(what: str, total: int | None) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal last, done
        done += count
        moment = time.monotonic()
        if moment - last < SECONDS_BETWEEN_LINES:
            return
        last = moment
        rate = done / (moment - started)
        left = f" of {total:,}, {(total - done) / rate:,.0f} s left" if total and rate else ""
        say(f"{what}: {done:,}{left} ({rate:,.0f}/s)")

    return advance
