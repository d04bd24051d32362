"""The commands that hand a trained model over: to programs, and to people who judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from trainer.progress import remark

SOME_FAILED = 3
SHOWN = 5  # ids named in a remark

Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Form = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="How the answer is printed.")
]
DEFAULT_DB = Path("artifacts/genfilt.duckdb")


def register(app: typer.Typer) -> None:
    """Add the commands to the trainer's."""
    app.command()(export)


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
    from trainer.export import RelevanceModel
    from trainer.vectors import write_vectors

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
        remark(
            f"The pictures of {', '.join(unread[:SHOWN])}{more} cannot be read; "
            "their vectors are those of a white picture."
        )
        raise typer.Exit(SOME_FAILED)


def _show(rows: Sequence[Mapping[str, Any]], form: str) -> None:
    from trainer.cli import Format, show

    show(rows, Format(form))
