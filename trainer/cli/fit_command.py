"""The command fit: one stage of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from genfilt.common import command
from genfilt.common.command import SOME_FAILED
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show_one
from trainer.cli.options import DEFAULT_DB, DEFAULT_OUT, Db, Form, Out, Part, Precision, PresetName
from trainer.config import Ablation, FitConfig, preset

if TYPE_CHECKING:
    from trainer.training.run_log import Summary

EXAMPLES = (
    "trainer fit --stage 1",
    "trainer fit --stage 2 --preset paper --vision Salesforce/blip2-itm-vit-g",
    "trainer fit --stage 3 --resume",
)


class Kept(StrEnum):
    """Epoch whose weights a stage ends with."""

    last = "last"
    best = "best"


class Device(StrEnum):
    """What computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Tracker(StrEnum):
    """Viewer of losses."""

    tensorboard = "tensorboard"


class FitOptions(TypedDict, total=False):
    """Options of fit that override the preset, by their names in the configuration."""

    vision: str
    bert: str
    without: tuple[Ablation, ...]
    cross_query: bool
    matching: bool
    epochs: int
    batch_size: int
    micro_batch: int
    seed: int
    cache_vision: bool
    mixed_precision: str
    keep: str
    lr: float


MODEL_OPTIONS = ("vision", "bert")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, fit, *EXAMPLES)


def fit(
    stage: Annotated[
        int, typer.Option(help="1: titles and pictures; 2: train clicks; 3: train labels.")
    ],
    preset_name: Annotated[
        PresetName | None,
        typer.Option("--preset", help="Sizes and rates; the stage before decides, else small."),
    ] = None,
    vision: Annotated[
        str | None, typer.Option(help="A frozen vision tower's folder or hub name.")
    ] = None,
    bert: Annotated[
        str | None, typer.Option(help="A BERT checkpoint's folder or hub name.")
    ] = None,
    without: Annotated[
        list[Part] | None, typer.Option(help="Leave a part out; can be given again.")
    ] = None,
    cross_query: Annotated[
        bool | None,
        typer.Option(
            "--cross-query/--no-cross-query",
            help="Add QMX to the paper's losses, which makes scores of queries comparable; "
            "the preset decides, on for small.",
        ),
    ] = None,
    matching: Annotated[
        bool | None,
        typer.Option(
            "--matching/--no-matching",
            help="Train ITM and QMM, the paper's QMF, too; the preset decides, off for small.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run was cut off.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the stage's rows.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a batch.")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(help="Rows computed at once: large batches in small memory.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random.")] = None,
    cache_vision: Annotated[
        bool, typer.Option("--cache-vision", help="Keep a frozen tower's features on disk.")
    ] = False,
    mixed_precision: Annotated[
        Precision | None,
        typer.Option(help="bf16: faster on a GPU, or a CPU with AMX or AVX512-BF16; else ignored."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--lr", help="Peak rate of a checkpoint's weights; that of fresh ones changes alike."
        ),
    ] = None,
    keep: Annotated[
        Kept | None,
        typer.Option(
            help="best: the epoch with the best AUC on val, which then measures nothing; the last "
            "else."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = Device.auto,
    log_with: Annotated[
        Tracker | None, typer.Option(help="Also write every batch's losses for a viewer, in OUT.")
    ] = None,
    db: Db = DEFAULT_DB,
    out: Out = DEFAULT_OUT,
    form: Form = OutputFormat.table,
) -> None:
    """Train one stage; stage n starts from stage n - 1's weights where OUT holds them."""
    from trainer.distributed import processes
    from trainer.process_group import is_main, joined, on_main
    from trainer.training.fit import RunOptions
    from trainer.training.fit import fit as run

    given = {
        "vision": vision,
        "bert": bert,
        "without": tuple(part.value for part in without) if without else None,
        "cross_query": cross_query,
        "matching": matching,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "seed": seed,
        "cache_vision": cache_vision or None,
        "mixed_precision": mixed_precision.value if mixed_precision else None,
        "lr": learning_rate,
        "keep": keep.value if keep else None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    options = RunOptions(device.value, log_with.value if log_with else None)

    def chosen_config() -> FitConfig:
        return choose(stage, out, preset_name, cast(FitOptions, chosen), resume=resume)

    with joined(cpu=options.on_cpu):
        config = on_main(chosen_config)
        summary = run(config, db, out, resume=resume, options=options)
        if is_main():
            _show(summary, form)
        alone = processes()[1] == 1
    if summary.skipped and alone:  # torchrun takes any other code than 0 for a failure
        raise typer.Exit(SOME_FAILED)


def _show(summary: Summary, form: OutputFormat) -> None:
    from trainer.evaluation.legend import legend

    say(f"Stage {summary.stage}: {summary.comparison}.")
    for line in legend(summary.losses):
        say(line)
    fields = asdict(summary)
    losses = fields.pop("losses")
    if summary.best_epoch is None:
        del fields["best_epoch"]
    show_one(fields | ({"losses": losses} if form is OutputFormat.json else losses), form)


def choose(
    stage: int, out: Path, name: str | None, chosen: FitOptions, *, resume: bool = False
) -> FitConfig:
    """Return the configuration that options make.

    The preset and the model are those of the stage before, in `out`, unless options name others;
    with `resume` all is that of the stage's last run, and an option that differs is refused.

    Args:
        stage: 1, 2 or 3.
        out: the run's folder.
        name: the preset's, None where it was not given.
        chosen: the other options that were given, by name.
        resume: whether the stage goes on from its last checkpoint.

    Raises:
        UsageError: an option is out of range, or contradicts the run to resume.
    """
    from trainer.training import checkpoint
    from trainer.training.fit import check_same_options

    base = preset(name or "small", stage)
    run = checkpoint.last_run(checkpoint.stage_folder(out, stage)) if resume else None
    if run is not None:
        config = checkpoint.load_config(run)
        check_same_options(run, _override(replace(config, preset=name or config.preset), chosen))
        return config
    before = checkpoint.stage_folder(out, stage - 1)
    if stage > 1 and name is None and checkpoint.is_done(before):
        last = checkpoint.load_config(before)
        base = replace(preset(last.preset, stage), model=last.model)
    return _override(base, chosen)


def _override(config: FitConfig, chosen: FitOptions) -> FitConfig:
    values = cast(Mapping[str, object], chosen)
    model = {name: value for name, value in values.items() if name in MODEL_OPTIONS}
    rest = {name: value for name, value in values.items() if name not in MODEL_OPTIONS}
    rate = rest.pop("lr", None)
    if isinstance(rate, float):
        base = preset(config.preset, config.stage)
        fresh = rate * (base.fresh_learning_rate / base.learning_rate)
        rest |= {"learning_rate": rate, "fresh_learning_rate": fresh}
    return config.replaced(rest, model)
