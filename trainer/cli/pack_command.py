"""The command pack: pictures decoded and resized once, for fit and evaluate."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show_one
from trainer.cli.options import DEFAULT_DB, Db, Form, PresetName
from trainer.config import preset

EXAMPLES = (
    "trainer pack",
    "trainer pack --preset paper --vision Salesforce/blip2-itm-vit-g --workers 8",
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, pack, *EXAMPLES)


def pack(
    preset_name: Annotated[
        PresetName, typer.Option("--preset", help="Whose picture size.")
    ] = PresetName.small,
    vision: Annotated[
        str | None, typer.Option(help="The frozen tower's folder or hub name, as for fit.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 1,
    db: Db = DEFAULT_DB,
    form: Form = OutputFormat.table,
) -> None:
    """Decode and resize all pictures once, into one file beside the database.

    fit and evaluate read the pictures from it, where their tower has the same picture size; what
    they read is the same. A picture whose file changes later is refused: pack again then.
    """
    from trainer.batches.pack_writer import pack_pictures
    from trainer.model.vision import build_tower

    model = preset(preset_name.value, 1).model
    model = replace(model, vision=vision or model.vision)
    transform = build_tower(model).transform
    made = pack_pictures(db, transform.square, transform.size, workers)
    show_one(asdict(made), form)
    if made.unreadable:
        say(f"{made.unreadable} pictures cannot be read and are left out, as fit leaves them out.")
