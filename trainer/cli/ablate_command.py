"""The command ablate: the model, its ablations and the baselines, on one or more databases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.common import command
from genfilt.common.output import OutputFormat, show_one
from trainer.cli.options import DEFAULT_DB, PresetName, Split

EXAMPLES = (
    "trainer ablate --db shop.duckdb --out artifacts/ablate",
    "trainer ablate --db synth-1.duckdb --db synth-2.duckdb --seeds 3 --jobs 2",
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, ablate, *EXAMPLES)


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
    preset_name: Annotated[
        PresetName, typer.Option("--preset", help="Sizes and rates.")
    ] = PresetName.small,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0 on.")] = 3,
    epochs: Annotated[
        list[int] | None, typer.Option(min=1, help="Given three times: of each stage.")
    ] = None,
    cross_query: Annotated[
        bool, typer.Option("--cross-query", help="Add QMX, which is not in the paper, to all.")
    ] = False,
    split: Annotated[Split, typer.Option(help="What is measured: val or test.")] = Split.val,
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
        preset_name.value, tuple(epochs or ()), split.value, baselines, clip, blip2, cross_query
    )
    made = run_all(db or [DEFAULT_DB], range(seeds), out, settings, attack or [], jobs)
    path = write_report(out, report or out / "report.md")
    show_one({"runs made": made, "report": str(path)}, OutputFormat.table)
