"""The commands that hand a trained model over: to programs, and to people who judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from genfilt.common.console import say

SOME_FAILED = 3
SHOWN = 5  # ids named in a remark

Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Form = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="How the answer is printed.")
]
DEFAULT_DB = Path("artifacts/genfilt.duckdb")
judge = typer.Typer(
    help="Let people judge two models' best products, blind, as in the paper's Table 4.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the trainer's."""
    app.command()(ablate)
    app.command()(export)
    app.add_typer(judge, name="judge")


def ablate(
    db: Annotated[
        list[Path] | None,
        typer.Option(
            "--db",
            envvar="GENFILT_DB",
            help="A database; can be given again. synth-1 and synth-2 are reported together.",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Where runs are kept; what is finished there stays.")
    ] = Path("artifacts/ablate"),
    report: Annotated[
        Path | None, typer.Option(help="The Markdown report, of all that OUT holds.")
    ] = None,
    preset_name: Annotated[str, typer.Option("--preset", help="tiny, small or paper.")] = "small",
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0 on.")] = 3,
    epochs: Annotated[
        list[int] | None, typer.Option(min=1, help="Given three times: of each stage.")
    ] = None,
    cross_query: Annotated[
        bool, typer.Option("--cross-query", help="Add QMX, which is not in the paper, to all.")
    ] = False,
    split: Annotated[str, typer.Option(help="What is measured: val or test.")] = "val",
    baselines: Annotated[bool, typer.Option(help="Run them too.")] = True,
    clip: Annotated[
        str | None, typer.Option(help="CLIP's folder or hub name; a small one from scratch else.")
    ] = None,
    blip2: Annotated[
        str | None, typer.Option(help="BLIP-2's folder or hub name; a small one else.")
    ] = None,
    attack: Annotated[
        list[Path] | None,
        typer.Option(help="A database of an attacked catalogue to measure on too."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Databases and seeds run at once; the cores are shared.")
    ] = 1,
) -> None:
    """Run Query-LIFE, its ablations and baselines, and write the paper's tables and figures."""
    from trainer.ablation.ablation_report import write_report
    from trainer.ablation.plan import AblationSettings
    from trainer.ablation.runs import run_all

    settings = AblationSettings(
        preset_name, tuple(epochs or ()), split, baselines, clip, blip2, cross_query
    )
    made = run_all(db or [DEFAULT_DB], range(seeds), out, settings, attack or [], jobs)
    path = write_report(out, report or out / "report.md")
    _show([{"runs made": made, "report": str(path)}], "table")


def export(
    out: Annotated[
        Path, typer.Option("--out", help="The run's folder, whose highest stage is exported.")
    ] = Path("artifacts/run"),
    to: Annotated[Path, typer.Option("--to", help="The model's folder.")] = Path("artifacts/model"),
    products: Annotated[
        Path | None,
        typer.Option(help="Write product_id and vector of the whole catalogue there, as Parquet."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 1,
    db: Db = DEFAULT_DB,
    form: Form = "table",
) -> None:
    """Write the model as a folder that needs nothing else; with --products all vectors too."""
    from trainer.serving.relevance_model import RelevanceModel
    from trainer.serving.vectors import write_vectors

    model = RelevanceModel.from_run(out)
    model.save_pretrained(to)
    answer: dict[str, Any] = {"model": str(to), "width": model.width}
    unread: list[str] = []
    if products is not None:
        unread = write_vectors(model, db, products, workers)
        answer |= {"vectors": str(products), "unreadable pictures": len(unread)}
    _show([answer], form)
    if unread:
        more = ", ..." if len(unread) > SHOWN else ""
        say(
            f"The pictures of {', '.join(unread[:SHOWN])}{more} cannot be read; "
            "their vectors are those of a white picture."
        )
        raise typer.Exit(SOME_FAILED)


@judge.command("export")
def judge_export(
    first: Annotated[Path, typer.Argument(help="A model: a run's folder or an exported one.")],
    second: Annotated[Path, typer.Argument(help="The model that it is compared with.")],
    to: Annotated[
        Path, typer.Option("--to", help="The sheet; its page and its key lie beside it.")
    ] = Path("artifacts/judge.csv"),
    split: Annotated[str, typer.Option(help="Whose queries: train, val or test.")] = "val",
    queries: Annotated[int, typer.Option(help="How many queries, at most.")] = 50,
    top: Annotated[int, typer.Option(help="Products of each model for each query.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides the queries and the order.")] = 0,
    db: Db = DEFAULT_DB,
    form: Form = "table",
) -> None:
    """Write each query's best products of two models as one sheet that does not say whose."""
    from trainer.human_eval.blind_draw import Draw, export_sheet

    made = export_sheet((first, second), db, to, Draw(split, queries, top, seed))
    say(f"Who judges must not see {made['key']}.")
    _show([made], form)


@judge.command("import")
def judge_import(
    sheets: Annotated[list[Path], typer.Argument(help="Filled sheets, one of each judge.")],
    key: Annotated[Path, typer.Option(help="The key that was written with the sheet.")] = Path(
        "artifacts/judge.key.json"
    ),
    form: Form = "table",
) -> None:
    """Say how the two models were judged, how sure that is, and how far the judges agree."""
    from trainer.human_eval.answers import summarize
    from trainer.human_eval.blind_draw import Key
    from trainer.human_eval.sheet import read_sheet

    answers = [answer for sheet in sheets for answer in read_sheet(sheet)]
    found = summarize(Key.read(key), answers)
    if form == "json":
        _show([found], form)
        return
    _show(found["shares"], form)
    names, judges = found["models"], ", ".join(found["judges"])
    say(f"first: {names['first']}; second: {names['second']}.")
    say(
        f"{found['judged rows']} of {found['rows']} rows judged, "
        f"{found['queries']} queries, by {judges}."
    )
    for pair in found["agreement"]:
        kappa = "undefined" if pair["kappa"] is None else f"{pair['kappa']:.3f}"
        say(f"Agreement of {pair['judges']}: kappa {kappa} on {pair['rows']} rows.")


def _show(rows: Sequence[Mapping[str, Any]], form: str) -> None:
    from trainer.cli.app import Format, show

    show(rows, Format(form))
