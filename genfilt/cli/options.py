"""The options that commands share, and how a step is run and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer

from genfilt.common.console import say
from genfilt.common.output import OutputFormat
from genfilt.store.store import Store

Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Form = Annotated[OutputFormat, typer.Option("--format", help="How the answer is printed.")]
DEFAULT_DB = Path("artifacts/genfilt.duckdb")

FAILED_ITEMS = 3


@contextmanager
def recorded(db: Path, command: str, **config: Any) -> Iterator[tuple[Store, dict[str, Any]]]:
    """Open the database for a step and write down in `runs` how it went.

    The context's dictionary takes the counts; "failed" among them makes the exit code 3.
    """
    counts: dict[str, Any] = {}
    with Store(db) as store:
        run_id = store.start_run(command, config)
        try:
            yield store, counts
        except BaseException as error:
            with suppress(duckdb.Error):  # on a full disk this cannot be written either
                store.finish_run(run_id, "failed", {"error": str(error)})
            raise
        store.finish_run(run_id, "done", counts)
        say(_summary(counts))
    if counts.get("failed"):
        raise typer.Exit(FAILED_ITEMS)


def _summary(counts: dict[str, Any]) -> str:
    text = ", ".join(f"{value:,} {name}" for name, value in counts.items())
    if counts.get("failed"):
        text += (
            '. See why with: genfilt sql "SELECT step, reason, count(*) FROM failures GROUP BY ALL"'
        )
    return text
