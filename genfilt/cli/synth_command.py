"""The command synth: a generated catalogue whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.console import say

EXAMPLES = ("genfilt synth --products 300 --out shop --seed 1",)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, synth, *EXAMPLES)


def synth(
    out: Annotated[Path, typer.Option(help="The folder that is made.")],
    products: Annotated[int, typer.Option(help="How many products.", min=50)] = 300,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal catalogues.")] = 0,
    attack: Annotated[bool, typer.Option("--attack", help="More listings that mislead.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw pictures.")] = True,
    clicks_per_query: Annotated[
        int | None,
        typer.Option(min=1, help="Keep so many train clicks of each query: a sampled log."),
    ] = None,
) -> None:
    """Generate a catalogue with pictures, clicks, labels and known truth."""
    from genfilt.synth import synthesize

    made = synthesize(
        products,
        out,
        seed=seed,
        attack=attack,
        pictures=pictures,
        clicks_per_query=clicks_per_query,
    )
    say(
        f"{made.products:,} products, {made.pictures:,} pictures, {made.queries:,} queries, "
        f"{made.clicks:,} clicks and {made.labels:,} labels in {made.out}; "
        f"its README.txt says what is what"
    )
