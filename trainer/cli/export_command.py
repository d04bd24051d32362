"""The command export: a model as a folder of its own, and the vectors of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.command import SOME_FAILED
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show_one
from trainer.cli.options import DEFAULT_DB, DEFAULT_OUT, Db, Form

SHOWN = 5  # ids named in a remark
EXAMPLES = ("trainer export", "trainer export --to model --products vectors.parquet")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, export, *EXAMPLES)


def export(
    out: Annotated[
        Path, typer.Option("--out", help="The run's folder, whose highest stage is exported.")
    ] = DEFAULT_OUT,
    to: Annotated[Path, typer.Option("--to", help="The model's folder.")] = Path("artifacts/model"),
    products: Annotated[
        Path | None,
        typer.Option(help="Write product_id and vector of the whole catalogue there, as Parquet."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 1,
    db: Db = DEFAULT_DB,
    form: Form = OutputFormat.table,
) -> None:
    """Write the model as a folder that needs nothing else; with --products all vectors too."""
    from trainer.serving.relevance_model import RelevanceModel
    from trainer.serving.vectors import write_vectors

    model = RelevanceModel.from_run(out)
    model.save_pretrained(to)
    answer: dict[str, object] = {"model": str(to), "width": model.width}
    unread: list[str] = []
    if products is not None:
        unread = write_vectors(model, db, products, workers)
        answer |= {"vectors": str(products), "unreadable pictures": len(unread)}
    show_one(answer, form)
    if unread:
        more = ", ..." if len(unread) > SHOWN else ""
        say(
            f"The pictures of {', '.join(unread[:SHOWN])}{more} cannot be read; "
            "their vectors are those of a white picture."
        )
        raise typer.Exit(SOME_FAILED)
