"""Training of one stage from the database to the stage's folder, begun or resumed."""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from trainer.batches.pack_writer import open_pack
from trainer.config import FitConfig
from trainer.model.parameters import parameter_report
from trainer.model.query_life import QueryLife
from trainer.process_group import is_main, joined_dicts, on_main, wait_for_all
from trainer.training import checkpoint
from trainer.training.loop import Losses, TrainingLoop
from trainer.training.precision import precision
from trainer.training.run_log import Summary, write_skipped
from trainer.training.selection import BestEpoch
from trainer.training.stage_data import StageData

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class StartingPoint:
    """Where a stage's training begins: a run to go on with, a step of it, or its end."""

    run: Path | None = None
    step: Path | None = None
    finished: bool = False


@dataclass(frozen=True)
class RunOptions:
    """Where a stage is computed and followed, which decides nothing of what it learns.

    Raises:
        UsageError: there is no such device.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    log_with: str | None = None
    """A tracker of accelerate, such as tensorboard, that gets every batch's losses."""

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device is cuda, and torch finds none here; give cpu or auto.")

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU computes."""
        return self.device == "cpu" or not torch.cuda.is_available()


def fit(
    config: FitConfig,
    db: Path,
    out: Path,
    *,
    resume: bool = False,
    options: RunOptions | None = None,
) -> Summary:
    """Train a stage and write it to out/stageN.

    Args:
        config: of the stage; with `resume` that of the run to go on with.
        db: a genfilt database.
        out: the run's folder, in which stage n looks for stage n - 1.
        resume: go on from the stage's last checkpoint, as if it had never been interrupted.
        options: of the run; a GPU where there is one by default.

    Raises:
        UsageError: with `resume`, the stage was trained with another configuration.
        UserError: the database or a checkpoint does not fit, a file cannot be written, or
            training diverged.
    """
    accelerator = make_accelerator(config, options, out)
    folder = checkpoint.stage_folder(out, config.stage)
    start = on_main(lambda: starting_point(folder, config) if resume else StartingPoint())
    if start.finished:
        _say(f"Stage {config.stage} is finished already, in {start.run}.")
        return on_main(lambda: _finished_summary(folder, start))
    if resume and start.step is None:
        _say(f"Stage {config.stage} has no checkpoint in {folder} yet: it begins anew.")
    with StageData.shared(db, config, folder / "data") as data:
        loop = TrainingLoop(config, data, accelerator)
        run = _begin(loop, out, start)
        _say(parameter_report(loop.model))
        pack = open_pack(db, loop.model.image_transform.size, data.catalogue.images)
        best = BestEpoch(db, data.catalogue, run, pack) if config.keep == "best" else None
        losses = loop.train(run, best, pack)
        for tracker in accelerator.trackers:  # end_training would end the processes' group too
            tracker.finish()
        return _finish(loop, losses, run)


def _begin(loop: TrainingLoop, out: Path, start: StartingPoint) -> Path:
    """Fill the model with the weights that the stage starts from; return the run's folder."""
    config = loop.config
    if start.step is not None:
        loop.resume(start.step)
        _say(f"Stage {config.stage} goes on from {start.step}.")
    elif config.stage > 1:
        _say(on_main(lambda: _load_stage_before(loop.model, out, config.stage)))
    if loop.model.seen_words is not None:
        for texts in loop.data.texts():
            loop.model.remember_words(texts)
    folder = checkpoint.stage_folder(out, config.stage)
    return start.run or on_main(lambda: checkpoint.new_run(folder, config))


def _finish(loop: TrainingLoop, losses: Losses, run: Path) -> Summary:
    """Write the run's weights and summary, and make it the stage's current one."""
    loop.progress.skipped = joined_dicts(loop.progress.skipped)
    skipped = dict(loop.data.without_picture) | loop.progress.skipped
    summary = _summary(loop, losses, run.parent, len(skipped))
    if is_main():
        write_skipped(run, skipped)
        summary.write(run)
        checkpoint.finish_run(run, loop.model)
    wait_for_all()
    return summary


def _finished_summary(folder: Path, start: StartingPoint) -> Summary:
    """Return a finished stage's summary; what a kill at its very end left behind is removed."""
    if start.run is not None:
        checkpoint.remove_leftovers(start.run)
    shutil.rmtree(folder / "data", ignore_errors=True)
    return Summary.read(folder)


def starting_point(folder: Path, config: FitConfig) -> StartingPoint:
    """Return where `--resume` goes on in a stage's folder.

    Raises:
        UsageError: the stage's last run has another configuration.
    """
    run = checkpoint.last_run(folder)
    if run is None:
        return StartingPoint()
    check_same_options(run, config)
    if run == checkpoint.current(folder):
        return StartingPoint(run, finished=True)
    return StartingPoint(run, checkpoint.latest_step(run))


def check_same_options(run: Path, wanted: FitConfig) -> None:
    """Refuse to resume a run with options other than its own.

    Raises:
        UsageError: the options differ; the error names the first one that does.
    """
    made = checkpoint.load_config(run)
    if made == wanted:
        return
    before, now = made.to_dict(), wanted.to_dict()
    name = next(name for name in now if now[name] != before[name])
    raise UsageError(
        f"{run} was made with other options than those given ({name} was {before[name]}, now "
        f"{now[name]}); leave all but --stage and --out out, or leave --resume out to train anew."
    )


def _load_stage_before(model: QueryLife, out: Path, stage: int) -> str:
    """Fill the model with the weights of the stage before, where there are some; say so."""
    before = checkpoint.stage_folder(out, stage - 1)
    if not checkpoint.is_done(before):
        return f"Stage {stage} starts from scratch: {out} holds no finished stage {stage - 1}."
    checkpoint.load_weights(model, before)
    return f"Stage {stage} starts from {before}."


def make_accelerator(
    config: FitConfig, options: RunOptions | None = None, out: Path | None = None
) -> Accelerator:
    """Return accelerate's view of devices and processes for a configuration.

    Raises:
        UserError: the tracker that options name is not installed.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    # accelerate keeps one precision for the whole process; stages of one run may differ in theirs.
    AcceleratorState._reset_state()
    # Where a part of the model is left out, gradients of its weights never come.
    partly = config.stage == 1 or bool(config.without) or not config.matching
    several = DistributedDataParallelKwargs(find_unused_parameters=partly)
    options = options or RunOptions()
    tracker = options.log_with
    if tracker is not None and find_spec(tracker) is None:
        raise UserError(
            f"--log-with {tracker} needs a package that is not installed; pip install {tracker}"
        )
    accelerator = Accelerator(
        cpu=options.on_cpu,  # else accelerate wraps no module for processes that share a CPU
        mixed_precision=precision(config, cpu=options.on_cpu),
        gradient_accumulation_steps=config.accumulation,
        kwargs_handlers=[several],
        log_with=tracker,
        project_dir=out,
    )
    accelerator.init_trackers(f"stage{config.stage}")
    return accelerator


def _summary(loop: TrainingLoop, losses: Losses, folder: Path, skipped: int) -> Summary:
    data, progress = loop.data, loop.progress
    return Summary(
        stage=loop.config.stage,
        folder=str(folder),
        rows=len(data.rows),
        steps=loop.plan.batches,
        query_product_corrections=data.corrections.query_product,
        image_title_corrections=data.corrections.image_title,
        positives_a_row=round(progress.positives_a_row, 3),
        losses={name: round(value, 4) for name, value in losses.items()},
        minutes=round(progress.seconds / 60, 2),
        peak_memory_gib=round(peak_gib(), 2),
        skipped=skipped,
        without=loop.config.without,
        best_epoch=progress.best_epoch if loop.config.keep == "best" else None,
    )


def peak_gib() -> float:
    """Return the largest resident size of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _say(text: str) -> None:
    if is_main():
        say(text)
