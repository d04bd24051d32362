"""The command ablate: the model, its ablations and the baselines, on one or more databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.errors import UsageError
from genfilt.common.output import OutputFormat, show_one
from trainer.cli.options import DEFAULT_DB, Precision, PresetName, Split

EXAMPLES = (
    "trainer ablate --db shop.duckdb --out artifacts/ablate",
    "trainer ablate --db synth-1.duckdb --db synth-2.duckdb --seeds 3 --jobs 2",
    "trainer ablate --design genfilt --db shop.duckdb --seeds 1",
)


class Design(StrEnum):
    """Plan of runs."""

    paper = "paper"
    genfilt = "genfilt"


@dataclass(frozen=True)
class EffectOptions:
    """The options of --design genfilt."""

    databases: list[Path]
    truths: list[Path]
    batch_sizes: list[int]
    arms: list[str]
    precision: Literal["no", "bf16"]

    def check(self) -> None:
        """Raise UsageError where truths and databases do not pair up."""
        if self.truths and len(self.truths) != len(self.databases):
            raise UsageError(
                f"--truth must be given once for each --db, got {len(self.truths)} for "
                f"{len(self.databases)}."
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
        list[int] | None,
        typer.Option(
            min=1,
            help="Passes of each stage: given three times, twice with --design genfilt.",
        ),
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
    design: Annotated[
        Design,
        typer.Option(
            help="paper: the paper's tables. genfilt: arms with other corrections, on stage 2."
        ),
    ] = Design.paper,
    truth: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --design genfilt: the truth.duckdb of each --db, in their order.",
            metavar="FILE",
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(min=2, help="With --design genfilt: rows of a batch; can be given again."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="With --design genfilt: an arm to run; all that can be run by default."),
    ] = None,
    mixed_precision: Annotated[
        Precision,
        typer.Option(help="With --design genfilt: bf16 is faster on a GPU, or a CPU with AMX."),
    ] = Precision.no,
    attack: Annotated[
        list[Path] | None,
        typer.Option(help="A database of an attacked catalogue to measure on too."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Databases and seeds run at once; they share the cores, and a GPU, which several "
            "keep busier.",
        ),
    ] = 1,
) -> None:
    """Run Query-LIFE, its ablations and baselines, and write the paper's tables and figures."""
    databases = db or [DEFAULT_DB]
    if design is Design.genfilt:
        effect = EffectOptions(
            databases, truth or [], batch_size or [], arm or [], mixed_precision.value
        )
        chosen = (preset_name.value, tuple(epochs or ()), split.value, cross_query)
        _measure_effect(effect, chosen, range(seeds), out, report or out / "report.md", jobs)
        return
    from trainer.ablation.ablation_report import write_report
    from trainer.ablation.plan import AblationSettings
    from trainer.ablation.runs import run_all

    settings = AblationSettings(
        preset_name.value, tuple(epochs or ()), split.value, baselines, clip, blip2, cross_query
    )
    made = run_all(databases, range(seeds), out, settings, attack or [], jobs)
    path = write_report(out, report or out / "report.md")
    show_one({"runs made": made, "report": str(path)}, OutputFormat.table)


def _measure_effect(
    options: EffectOptions,
    chosen: tuple[str, tuple[int, ...], str, bool],
    seeds: Sequence[int],
    out: Path,
    report: Path,
    jobs: int,
) -> None:
    """Run the experiment on what corrections bring, and print its three closing sentences."""
    from trainer.ablation.effect.effect_plan import EffectSettings, Shop
    from trainer.ablation.effect.effect_report import write_effect_report
    from trainer.ablation.effect.effect_runs import run_effects

    options.check()
    truths: list[Path | None] = [*options.truths] or [None] * len(options.databases)
    shops = [Shop(*pair) for pair in zip(options.databases, truths, strict=True)]
    preset_name, epochs, split, cross_query = chosen
    settings = EffectSettings(
        preset=preset_name,
        epochs=epochs,
        batch_sizes=tuple(options.batch_sizes) or EffectSettings.batch_sizes,
        arms=tuple(options.arms),
        cross_query=cross_query,
        split=split,
        mixed_precision=options.precision,
    )
    made = run_effects(shops, seeds, out, settings, jobs)
    for sentence in write_effect_report(out, report):
        say(sentence)
    show_one({"runs made": made, "report": str(report)}, OutputFormat.table)
