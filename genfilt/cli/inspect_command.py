"""The commands status, sql, explain, report and export, which read the tables."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genfilt.cli.options import DEFAULT_DB, Db, Form, Split, check_output
from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, check_ending, show, show_one, write_rows
from genfilt.store.store import Store

ROWS_ON_TERMINAL = 1000  # a person reads no more; --format csv and --out give all
SQL_EXAMPLES = (
    'genfilt sql "SELECT query, title, score FROM query_product_corrections LIMIT 10"',
    'genfilt sql "FROM failures" --format csv',
    'genfilt sql "FROM positives" --out positives.parquet',
)
EXPLAIN_EXAMPLES = (
    'genfilt explain "red hoodie" p123',
    'genfilt explain q7 "Acme Red Cotton Hoodie"',
    'genfilt explain "red hoodie" "a title that is not in the catalogue" --format json',
)


class Exported(StrEnum):
    """What can be exported."""

    positives = "positives"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command.register(app, status, "genfilt status")
    command.register(app, sql, *SQL_EXAMPLES)
    command.register(app, explain, *EXPLAIN_EXAMPLES)
    command.register(app, report, "genfilt report --out report.html")
    command.register(app, export, "genfilt export positives --out positives.csv")


def status(form: Form = OutputFormat.table, db: Db = DEFAULT_DB) -> None:
    """Print what the database contains, what is missing and what looks wrong."""
    from genfilt.inspect.status import status as run

    with Store(db, read_only=True) as store:
        show(run(store), form)


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT statement; else standard input is read.")
    ] = None,
    form: Form = OutputFormat.table,
    out: Annotated[
        Path | None, typer.Option(help="Write a .parquet, .csv or .jsonl file instead.")
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Query the tables in SQL, read-only; without a query, list the views and tables."""
    from genfilt.store.readonly import run_query
    from genfilt.store.relations import list_relations

    if out is not None:
        check_output(out, db)
        check_ending(out)
    text = query if query is not None else _standard_input()
    if not text.strip():
        show(list_relations(), form)
        return
    with Store(db, read_only=True) as store:
        answer = run_query(store, text)
    if out is not None:
        write_rows(answer, out)
        say(f"{answer.num_rows:,} rows in {out}")
        return
    left_out = 0
    if form is OutputFormat.table and sys.stdout is not None and sys.stdout.isatty():
        left_out = max(0, answer.num_rows - ROWS_ON_TERMINAL)
        answer = answer.slice(0, ROWS_ON_TERMINAL)
    show(answer.to_pylist(), form)
    if left_out:
        say(f"{left_out:,} more rows; add LIMIT, or print all with --format csv")


def _standard_input() -> str:
    return "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()


def explain(
    query: Annotated[str, typer.Argument(help="Id of a query, else its text, also a new one.")],
    product: Annotated[
        str, typer.Argument(help="Id of a product, else its title, also a new one.")
    ],
    embedder: Annotated[
        str | None,
        typer.Option(help="The folder of the current filter's model, to embed a text that is new."),
    ] = None,
    form: Form = OutputFormat.table,
    db: Db = DEFAULT_DB,
) -> None:
    """Show why a query and a product are a correction, or why not: scores, threshold, veto."""
    from dataclasses import asdict

    from genfilt.features.embed import filter_embedder
    from genfilt.inspect.explain import explain as run

    with Store(db, read_only=True) as store:
        show_one(asdict(run(store, filter_embedder(store, embedder), query, product)), form)


def report(
    out: Annotated[Path, typer.Option(help="The page.")] = Path("artifacts/report.html"),
    db: Db = DEFAULT_DB,
) -> None:
    """Write one page that shows what was found, for people who do not read SQL."""
    from genfilt.inspect.report import write_report

    check_output(out, db)
    check_ending(out, (".html", ".htm"))
    with Store(db, read_only=True) as store:
        write_report(store, out)
    say(f"{out} ({out.stat().st_size / 1e6:.1f} MB) opens in any browser")


def export(
    what: Annotated[Exported, typer.Argument(help="positives: query, title, image, source, score")],
    out: Annotated[Path, typer.Option(help="The file; .parquet, .csv or .jsonl, by its ending.")],
    split: Annotated[Split, typer.Option(help="Whose products.")] = Split.train,
    db: Db = DEFAULT_DB,
) -> None:
    """Write known and found positives as text and pictures, for other trainers."""
    from genfilt.inspect.export import export_positives

    check_output(out, db)
    with Store(db, read_only=True) as store:
        count = export_positives(store, out, split=split.value)
    say(f"{count:,} {what.value} of the split {split.value} in {out}")
