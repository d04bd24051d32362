"""The trainer command: read options, one call, print."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from genfilt.common.command import run_command
from genfilt.common.console import say
from genfilt.common.errors import UsageError
from trainer.cli import hand_over as cli_more
from trainer.config import FitConfig, preset

app = typer.Typer(
    help="Trains Query-LIFE, a relevance model of query, title and picture, on a genfilt database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli_more.register(app)
SOME_FAILED = 3


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


class Part(StrEnum):
    """What --without leaves out."""

    qma = "qma"
    qmf = "qmf"
    genfilt = "genfilt"


class Split(StrEnum):
    """What is measured."""

    train = "train"
    val = "val"
    test = "test"


Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Out = Annotated[Path, typer.Option("--out", help="The run's folder; stage n is OUT/stageN.")]
Form = Annotated[Format, typer.Option("--format", help="How the answer is printed.")]
DEFAULT_DB, DEFAULT_OUT = Path("artifacts/genfilt.duckdb"), Path("artifacts/run")


@app.callback()
def trainer() -> None:
    """Train Query-LIFE in three stages, and measure it."""


@app.command()
def fit(
    stage: Annotated[
        int, typer.Option(help="1: titles and pictures; 2: train clicks; 3: train labels.")
    ],
    preset_name: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="tiny, small or paper; the stage before decides, else small.",
        ),
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
    db: Db = DEFAULT_DB,
    out: Out = DEFAULT_OUT,
    form: Form = Format.table,
) -> None:
    """Train one stage; stage n starts from stage n - 1's weights where OUT holds them."""
    from trainer.training.loop import fit as run

    given = {
        "vision": vision,
        "bert": bert,
        "without": tuple(part.value for part in without) if without else None,
        "cross_query": cross_query,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "seed": seed,
        "cache_vision": cache_vision or None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    summary = run(choose(stage, out, preset_name, chosen, resume=resume), db, out, resume=resume)
    say(f"Stage {stage}: {summary.comparison}.")
    losses = summary.losses if form is not Format.json else {"losses": summary.losses}
    show([{k: v for k, v in asdict(summary).items() if k != "losses"} | losses], form)
    if summary.skipped:
        raise typer.Exit(SOME_FAILED)


def choose(
    stage: int, out: Path, name: str | None, chosen: Mapping[str, Any], *, resume: bool = False
) -> FitConfig:
    """Return the configuration that options make.

    The preset and the model are those of the stage before, in `out`, unless options say else;
    with `resume` all is the checkpoint's, and an option that says else is refused.

    Args:
        stage: 1, 2 or 3.
        out: the run's folder.
        name: the preset's, None where it was not given.
        chosen: the other options that were given, by name.
        resume: whether the stage goes on from its last checkpoint.

    Raises:
        UsageError: an option is out of range, or contradicts the checkpoint.
    """
    from trainer.training import checkpoint

    base = preset(name or "small", stage)
    step = checkpoint.latest_step(checkpoint.stage_folder(out, stage)) if resume else None
    if step is not None:
        config = checkpoint.load_config(step)
        wanted = _with(replace(config, preset=name or config.preset), chosen)
        if wanted != config:
            raise UsageError(
                f"The checkpoint {step} was made with other options than those given; "
                "leave all but --stage and --out out, or leave --resume out to train anew."
            )
        return config
    before = checkpoint.stage_folder(out, stage - 1)
    if stage > 1 and name is None and checkpoint.is_done(before):
        last = checkpoint.load_config(before)
        base = replace(preset(last.preset, stage), model=last.model)
    return _with(base, chosen)


def _with(config: FitConfig, chosen: Mapping[str, Any]) -> FitConfig:
    model = {name: chosen[name] for name in ("vision", "bert") if name in chosen}
    rest = {name: value for name, value in chosen.items() if name not in model}
    return replace(config, model=replace(config.model, **model), **rest)


@app.command()
def evaluate(
    split: Annotated[Split, typer.Option(help="What is measured.")] = Split.val,
    db: Db = DEFAULT_DB,
    out: Out = DEFAULT_OUT,
    form: Form = Format.table,
) -> None:
    """Measure OUT's highest stage: AUC, Recall@k and intervals, also in OUT/metrics.json."""
    from trainer.evaluation.evaluate import evaluate as run
    from trainer.evaluation.legend import legend
    from trainer.evaluation.report import flat_rows, unreadable_remark
    from trainer.training.checkpoint import latest_stage
    from trainer.training.run_log import Summary

    metrics = run(out, db, split.value)
    stage = latest_stage(out)
    say(f"Measured on {split.value}: {stage}, {Summary.read(stage).comparison}.")
    if form is Format.json:
        show([metrics.to_dict()], form)
    else:
        rows = flat_rows(metrics)
        show(rows, form)
        for line in legend([*metrics.scores, *rows[0]]):
            say(line)
    for sentence in metrics.summary:
        say(sentence)
    if metrics.unreadable_pictures:
        say(unreadable_remark(metrics.unreadable_pictures))
        raise typer.Exit(SOME_FAILED)


def show(rows: Sequence[Mapping[str, Any]], form: Format) -> None:
    """Print rows on standard output, alone; one row as a list of its fields, JSON as one object."""
    if form is Format.json:
        text = json.dumps(rows[0] if len(rows) == 1 else rows, indent=1, ensure_ascii=False) + "\n"
    elif form is Format.csv:
        text = _csv(rows)
    elif len(rows) == 1:
        text = _table([{"what": name, "value": value} for name, value in rows[0].items()])
    else:
        text = _table(rows)
    sys.stdout.write(text)
    sys.stdout.flush()


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command; see `run_command` for its exit codes."""
    run_command(app, "trainer")
