"""The command export: a model as a folder of its own, and the vectors of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.command import SOME_FAILED
from genfilt.common.console import say
from genfilt.common.errors import UsageError
from genfilt.common.output import OutputFormat, show_one
from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from trainer.cli.options import DEFAULT_DB, DEFAULT_OUT, Address, Db, EngineOption, Form, Gpus

SHOWN = 5  # ids named in a remark
EXAMPLES = (
    "trainer export",
    "trainer export --to model --products vectors.parquet",
    "trainer export --to /shared/model --products vectors.parquet --engine ray --gpus-per-worker 1",
)


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
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that read pictures, 1 by default; with --engine ray its workers."
        ),
    ] = None,
    engine: EngineOption = EngineName.local,
    address: Address = None,
    gpus_per_worker: Gpus = 0.0,
    db: Db = DEFAULT_DB,
    form: Form = OutputFormat.table,
) -> None:
    """Write the model as a folder that needs nothing else; with --products all vectors too.

    A model card, README.md, says what it was trained on and how it measures.
    With --engine ray the workers of a cluster compute the vectors; they read the model from --to.
    """
    from torch.cuda import is_available as cuda_is_available

    from trainer.distributed import processes
    from trainer.process_group import is_main, joined

    spreads = engine is not EngineName.local
    chosen = EngineChoice(engine, address, workers if spreads else None, gpus_per_worker)
    with joined(cpu=not cuda_is_available()):
        several = processes()[1] > 1
        if several and spreads:
            raise UsageError("--engine ray needs no torchrun; start trainer export by itself.")
        answer, unread = _export(out, to, products, db, chosen, 1 if workers is None else workers)
        if is_main():
            _show(answer, unread, form)
    if unread and not several:  # torchrun takes any other code than 0 for a failure
        raise typer.Exit(SOME_FAILED)


def _export(
    out: Path, to: Path, products: Path | None, db: Path, chosen: EngineChoice, workers: int
) -> tuple[dict[str, object], list[str]]:
    from trainer.process_group import on_main
    from trainer.serving.model_card import write_model_card
    from trainer.serving.relevance_model import RelevanceModel
    from trainer.serving.spread_vectors import spread_catalogue
    from trainer.serving.vectors import write_encoded, write_vectors

    model = RelevanceModel.from_run(out)

    def write_model() -> None:
        model.save_pretrained(to)
        write_model_card(model.model, out, to)

    on_main(write_model)
    answer: dict[str, object] = {"model": str(to), "width": model.width}
    if products is None:
        return answer, []
    with open_engine(chosen) as runner:
        if runner.spreads:
            unread = write_encoded(spread_catalogue(runner, to, db), model.width, products)
        else:
            unread = write_vectors(model, db, products, workers)
    return answer | {"vectors": str(products), "unreadable pictures": len(unread)}, unread


def _show(answer: dict[str, object], unread: list[str], form: OutputFormat) -> None:
    show_one(answer, form)
    if unread:
        more = ", ..." if len(unread) > SHOWN else ""
        say(
            f"The pictures of {', '.join(unread[:SHOWN])}{more} cannot be read; "
            "their vectors are those of a white picture."
        )
