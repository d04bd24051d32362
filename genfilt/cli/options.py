"""The options that commands share, output files that are safe to write, and recorded runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from genfilt.common.command import SOME_FAILED
from genfilt.common.console import complain, say
from genfilt.common.duckdb_file import MEMORY
from genfilt.common.errors import UsageError, UserError
from genfilt.common.interrupts import is_interrupt
from genfilt.common.output import OutputFormat
from genfilt.engines.choice import EngineName
from genfilt.store.store import Store

Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Form = Annotated[OutputFormat, typer.Option("--format", help="How the answer is printed.")]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Where the work runs: this host, or a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster: HOST:PORT, auto for the one that runs here, or local for a new one "
        "on this host; by default auto where there is one, else local."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Ray workers; by default as many as find room.")
]
Gpus = Annotated[
    float, typer.Option("--gpus-per-worker", help="GPUs of a Ray worker, or a share of one.")
]
DEFAULT_DB = Path("artifacts/genfilt.duckdb")

Counts = dict[str, int]
MAX_COLUMNS = 88  # of a line of counts; longer ones have a line for each count


class Split(StrEnum):
    """Part of the data, by product."""

    train = "train"
    val = "val"
    test = "test"


def check_output(out: Path, db: Path, option: str = "--out") -> None:
    """Refuse to write an output file over the database or its write-ahead log.

    Raises:
        UsageError: they are one file.
    """
    for taken in (db, db.with_name(f"{db.name}.wal")):
        same = out.absolute() == taken.absolute()
        with suppress(OSError):  # one of them does not exist
            same = same or out.samefile(taken)
        if same:
            raise UsageError(
                f"{option} must not be the database ({out}); name another file with {option}."
            )


def check_exists(db: Path) -> None:
    """Refuse a database that no ingest has created, for commands that need its content.

    Raises:
        UserError: there is no such file.
    """
    if not db.exists():
        raise UserError(f"There is no database at {db}; run genfilt ingest, or name it with --db.")


@contextmanager
def recorded(db: Path, command: str, **config: object) -> Iterator[tuple[Store, Counts]]:
    """Open the database for a step and record in `runs` how it went.

    The context's dictionary takes the counts; "failed" among them makes the exit code 3.
    """
    counts: Counts = {}
    if str(db) == MEMORY:
        raise UsageError(f"--db must be a file, got {MEMORY}, which no later command could read.")
    if command != "ingest":
        check_exists(db)
    with Store(db) as store:
        run_id = store.start_run(command, config)
        try:
            yield store, counts
        except BaseException as error:
            status = "interrupted" if is_interrupt(error) else "failed"
            with suppress(duckdb.Error):  # on a full disk this cannot be written either
                store.finish_run(run_id, status, {"error": str(error)})
            raise
        store.finish_run(run_id, "done", counts)
    if counts.get("failed"):
        complain(_summary(counts))
        raise typer.Exit(SOME_FAILED)
    say(_summary(counts))


def _summary(counts: Counts) -> str:
    text = ", ".join(f"{value:,} {name}" for name, value in counts.items())
    if len(text) > MAX_COLUMNS:
        width = max(len(f"{value:,}") for value in counts.values())
        text = "\n".join(f"{value:>{width},} {name}" for name, value in counts.items())
    if counts.get("failed"):
        text += (
            '. See why with: genfilt sql "SELECT step, reason, count(*) FROM failures GROUP BY ALL"'
        )
    return text
