"""The command evaluate: the metrics of a trained run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genfilt.common import command
from genfilt.common.command import SOME_FAILED
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show, show_one
from trainer.cli.options import DEFAULT_DB, DEFAULT_OUT, Db, Form, Out, Split

if TYPE_CHECKING:
    from trainer.evaluation.results import Metrics

EXAMPLES = ("trainer evaluate", "trainer evaluate --split test --format json")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, evaluate, *EXAMPLES)


def evaluate(
    split: Annotated[Split, typer.Option(help="What is measured.")] = Split.val,
    db: Db = DEFAULT_DB,
    out: Out = DEFAULT_OUT,
    form: Form = OutputFormat.table,
) -> None:
    """Measure OUT's highest stage: AUC, Recall@k and intervals, also in OUT/metrics.json."""
    from torch.cuda import is_available as cuda_is_available

    from trainer.distributed import processes
    from trainer.evaluation.evaluate import evaluate as run
    from trainer.process_group import is_main, joined
    from trainer.training.checkpoint import latest_stage
    from trainer.training.run_log import Summary

    with joined(cpu=not cuda_is_available()):
        metrics = run(out, db, split.value)
        if not is_main():
            return
        stage = latest_stage(out)
        say(f"Measured on {split.value}: {stage}, {Summary.read(stage).comparison}.")
        _show(metrics, form)
        alone = processes()[1] == 1
    if metrics.unreadable_pictures and alone:  # torchrun takes other codes than 0 for a failure
        raise typer.Exit(SOME_FAILED)


def _show(metrics: Metrics, form: OutputFormat) -> None:
    from trainer.evaluation.legend import legend
    from trainer.evaluation.report import flat_rows, unreadable_remark

    if form is OutputFormat.json:
        show_one(metrics.to_dict())
    else:
        rows = flat_rows(metrics)
        show(rows, form)
        for line in legend([*metrics.scores, *rows[0]]):
            say(line)
    for sentence in metrics.summary:
        say(sentence)
    if metrics.unreadable_pictures:
        say(unreadable_remark(metrics.unreadable_pictures))
