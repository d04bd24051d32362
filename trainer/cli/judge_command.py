"""The commands judge export, serve and import: blind human judgements of two models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.command import SOME_FAILED
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show, show_one
from trainer.cli.options import DEFAULT_DB, Db, Form, Split

EXPORT_EXAMPLES = (
    "trainer judge export artifacts/run artifacts/other --to judge.csv",
    "trainer judge export artifacts/run artifacts/other --queries 1000 --top 10",
)
SERVE_EXAMPLES = ("trainer judge serve judge.csv --judge ann",)
IMPORT_EXAMPLES = (
    "trainer judge import judge.answers.jsonl --key judge.key.json",
    "trainer judge import ann.csv bob.csv --key judge.key.json",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    judge = typer.Typer(
        help="Let people judge two models' best products, blind, as in the paper's Table 4.",
        no_args_is_help=True,
    )
    command.register(judge, judge_export, *EXPORT_EXAMPLES, name="export")
    command.register(judge, judge_serve, *SERVE_EXAMPLES, name="serve")
    command.register(judge, judge_import, *IMPORT_EXAMPLES, name="import")
    app.add_typer(judge, name="judge")


def judge_export(
    first: Annotated[Path, typer.Argument(help="A model: a run's folder or an exported one.")],
    second: Annotated[Path, typer.Argument(help="The model that it is compared with.")],
    to: Annotated[
        Path, typer.Option("--to", help="The sheet; its page and its key lie beside it.")
    ] = Path("artifacts/judge.csv"),
    split: Annotated[Split, typer.Option(help="Whose queries: train, val or test.")] = Split.val,
    queries: Annotated[int, typer.Option(help="How many queries, at most.")] = 50,
    top: Annotated[int, typer.Option(help="Products of each model for each query.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides the queries and the order.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a sheet that is filled in, and its key.")
    ] = False,
    db: Db = DEFAULT_DB,
    form: Form = OutputFormat.table,
) -> None:
    """Write each query's best products of two models as one sheet that does not say whose."""
    from trainer.evaluation.report import unreadable_remark
    from trainer.human_eval.blind_draw import Draw, export_sheet

    draw = Draw(split.value, queries, top, seed)
    made = export_sheet((first, second), db, to, draw, overwrite=overwrite)
    say(f"Judges must not see {made.key}.")
    paths = {"sheet": str(made.sheet), "page": str(made.page), "key": str(made.key)}
    show_one(paths | {"queries": made.queries, "rows": made.rows}, form)
    if made.unreadable_pictures:
        say(unreadable_remark(made.unreadable_pictures))
        raise typer.Exit(SOME_FAILED)


def judge_serve(
    sheet: Annotated[Path, typer.Argument(help="The sheet that judge export wrote.")] = Path(
        "artifacts/judge.csv"
    ),
    judge: Annotated[str, typer.Option(help="Your name, written with your grades.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Judge a sheet in the browser: three grades, blind; each is written beside the sheet."""
    from trainer.human_eval.judge_server import JudgeServer

    server = JudgeServer(sheet, port, judge)
    server.open_and_serve(f"Judge {sheet}", browser=browser)
    say(f"Ended; every grade is in {server.answers}, which trainer judge import reads.")


def judge_import(
    sheets: Annotated[list[Path], typer.Argument(help="Filled sheets, and answers of the page.")],
    key: Annotated[Path, typer.Option(help="The key that was written with the sheet.")] = Path(
        "artifacts/judge.key.json"
    ),
    form: Form = OutputFormat.table,
) -> None:
    """Report the two models' grades with intervals, and how far the judges agree."""
    from trainer.human_eval.blind_draw import Key
    from trainer.human_eval.judgements import read_judgements
    from trainer.human_eval.preference import summarize
    from trainer.human_eval.sheet import read_sheet

    judgements = [
        judgement
        for sheet in sheets
        for judgement in (read_judgements if sheet.suffix == ".jsonl" else read_sheet)(sheet)
    ]
    found = summarize(Key.read(key), judgements)
    if form is OutputFormat.json:
        show_one(found.to_dict())
        return
    show([share.to_dict() for share in found.shares], form)
    say(f"first: {found.models[0]}; second: {found.models[1]}.")
    say(
        f"{found.judged_rows} of {found.rows} rows judged, "
        f"{found.queries} queries, by {', '.join(found.judges)}."
    )
    for one in found.agreement:
        kappa = "undefined" if one.kappa is None else f"{one.kappa:.3f}"
        say(f"Agreement of {one.judges}: kappa {kappa} on {one.rows} rows.")
