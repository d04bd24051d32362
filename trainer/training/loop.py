"""The training loop of one stage: batches through the objective, steps of the optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genfilt.common.console import track
from genfilt.common.errors import UserError
from trainer.batches.inputs import inputs_of
from trainer.batches.picture_pack import PicturePack
from trainer.batches.reader import Batch, BatchPlan, loader
from trainer.batches.word_dropout import drop_words
from trainer.config import FitConfig
from trainer.distributed import processes, total
from trainer.model.query_life import QueryLife
from trainer.process_group import on_main, share_optimizer
from trainer.training import checkpoint
from trainer.training.batch_source import batch_reader
from trainer.training.objective import ON_FUSED_EMBEDDING, Objective, parts_of
from trainer.training.optim import PullToStart, build_optimizer, schedule, set_rate
from trainer.training.run_log import LossLog, Progress, report_skipped
from trainer.training.selection import BestEpoch
from trainer.training.stage_data import StageData

if TYPE_CHECKING:
    from accelerate import Accelerator

Losses = dict[str, float]
LABEL_STAGE = 3


class TrainingLoop:
    """One stage's model, optimiser and progress, and the steps between its checkpoints."""

    def __init__(self, config: FitConfig, data: StageData, accelerator: Accelerator) -> None:
        torch.manual_seed(config.seed)
        self.config, self.data, self.accelerator = config, data, accelerator
        self.model = QueryLife.build(config.model).to(accelerator.device)
        self.optimizer = build_optimizer(self.model, config)
        strength = config.pull_to_start
        self.pull = PullToStart(self.model, strength) if strength else None
        self.progress = Progress()
        rank, count = processes()
        groups = data.rows.query if config.grouped and config.stage == LABEL_STAGE else None
        self.plan = BatchPlan(
            len(data.rows), config.batch_size, config.epochs, config.seed, rank, count, groups
        )

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return bool(self.accelerator.is_main_process)

    @property
    def parts(self) -> tuple[str, ...]:
        """The losses that the stage adds up."""
        config = self.config
        return parts_of(
            config.stage,
            config.without,
            cross_query=config.cross_query,
            matching=config.matching,
        )

    def resume(self, step: Path) -> None:
        """Go on from a step folder, which the first process alone reads.

        The weights reach the other processes when `train` prepares the objective.
        """
        state = on_main(lambda: checkpoint.load_step(step, self.model, self.optimizer))
        self.progress = Progress.from_state(state)
        share_optimizer(self.optimizer, self.accelerator.device)

    def objective(self) -> Objective:
        """Return the stage's loss."""
        config = self.config
        return Objective(self.model, self.data.masks, self.parts, config.seed, config.micro_batch)

    def train(
        self, run: Path, best: BestEpoch | None = None, pack: PicturePack | None = None
    ) -> Losses:
        """Train to the end of the plan, with checkpoints and a log in the run's folder.

        Args:
            run: the run's folder.
            best: looks at every epoch, and gives the model the best one's weights in the end.
            pack: the pictures, decoded; None where there is none.

        Returns:
            The last batch's losses.

        Raises:
            UserError: a loss is not finite, or a file cannot be written.
        """
        config, plan, progress = self.config, self.plan, self.progress
        reader = batch_reader(config, self.data, self.model, run.parent.parent, pack)
        objective = self.accelerator.prepare(self.objective())
        objective.train()
        began = time.monotonic() - progress.seconds
        title = f"stage {config.stage}"
        with (
            LossLog(run, progress.step, write=self.main) as log,
            track(title, plan.batches, done=progress.step, show=self.main) as advance,
        ):
            for batch in loader(reader, plan, progress.step, config.workers):
                full = (batch.number + 1) % config.accumulation == 0
                update = full or batch.number + 1 == plan.batches
                made = self.step(objective, batch, update=update)
                progress.losses = made or progress.losses
                progress.step = batch.number + 1
                progress.seconds = time.monotonic() - began
                log(batch.number, progress.losses)
                self.accelerator.log(progress.losses, step=batch.number)
                advance(1, progress.losses)
                self._look(best)
                if full and (batch.number + 1) // config.accumulation % config.save_steps == 0:
                    self._save(run, best)
        if not ON_FUSED_EMBEDDING & set(self.parts):
            self.model.align_fused_projection()
        if best is not None and self.main:
            best.restore(self.model, progress)
        return progress.losses

    def _look(self, best: BestEpoch | None) -> None:
        epoch, within = divmod(self.progress.step, self.plan.batches_an_epoch)
        if best is None or within:
            return
        best.look(self.model, self.progress, epoch)

    def step(self, objective: torch.nn.Module, batch: Batch, *, update: bool) -> Losses | None:
        """Add a batch's gradients, and with `update` take a step of the optimiser.

        Returns:
            The losses, means over all processes; None where no picture could be read.
        """
        report_skipped(self.progress, self.data.product_ids(batch.unread))
        if len(batch.products) == 0:
            if processes()[1] > 1:
                raise UserError(
                    f"No picture of batch {batch.number} could be read ({batch.unread[0][1]}); "
                    "see that the picture files are where the database says."
                )
            return None
        device = self.accelerator.device
        inputs = inputs_of(batch, self.data.catalogue, self._tokenizer(batch.number), device)
        torch.manual_seed(mixed_seed(self.config.seed, batch.number, processes()[0]))
        with nullcontext() if update else self.accelerator.no_sync(objective):
            losses, logged = objective(inputs)
            values = _averages(losses)
            self._check_finite(values, batch, logged["faulty"])
            self.accelerator.backward(torch.stack(list(losses.values())).sum())
        self.progress.rows += int(total(torch.tensor(len(batch.rows), device=device)))
        self.progress.positives += int(total(logged["positives"].sum()))
        if update:
            norm = self._update(objective, batch.number)
            self._check_finite({**values, "gradient": norm}, batch, logged["faulty"])
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.pull is not None:
                self.pull(self.config.learning_rate * self._share(batch.number))
        return values

    def _tokenizer(self, batch: int) -> Callable[[list[str]], dict[str, Tensor]]:
        """Return what turns a batch's texts into tokens, some words replaced where asked for."""
        config, model = self.config, self.model
        if not config.word_dropout:
            return model.tokenize
        generator = torch.Generator().manual_seed(mixed_seed(config.seed, batch, processes()[0]))

        def tokenize(texts: list[str]) -> dict[str, Tensor]:
            tokens = model.tokenize(texts)
            assert model.tokenizer is not None
            unknown, words = model.tokenizer.unk_token_id, len(model.tokenizer)
            words = words if config.dropped_words == "random" else 0
            ids = tokens["input_ids"]
            replaced = drop_words(ids, config.word_dropout, unknown, words, generator)
            return tokens | {"input_ids": replaced}

        return tokenize

    def _share(self, batch: int) -> float:
        """Return the rate of a batch's step as a share of its peak."""
        steps = -(-self.plan.batches // self.config.accumulation)
        return schedule(batch // self.config.accumulation, self.config.warmup_steps, steps)

    def _update(self, objective: torch.nn.Module, batch: int) -> float:
        """Clip the gradients and set the rates; return the gradients' norm before."""
        config = self.config
        norm = self.accelerator.clip_grad_norm_(objective.parameters(), config.max_grad_norm)
        set_rate(self.optimizer, self._share(batch))
        return float(norm)

    def _check_finite(self, values: Losses, batch: Batch, faulty: Tensor) -> None:
        bad = [name for name, value in values.items() if not np.isfinite(value)]
        if not bad:
            return
        places = np.flatnonzero(faulty.cpu().numpy())
        rows = batch.rows.at(places if len(places) else np.arange(len(batch.rows)))
        raise UserError(
            f"{' and '.join(bad)} of batch {batch.number} is not finite, with "
            f"{len(rows)} of {len(batch.rows)} rows at fault: {self.data.names(rows)}; look at "
            "these rows, then go on from the last checkpoint with --resume."
        )

    def _save(self, run: Path, best: BestEpoch | None) -> None:
        if self.main:
            state = vars(self.progress)
            checkpoint.save_step(run, self.model, self.optimizer, self.config, state)
            if best is not None:
                best.saved(self.progress)
        self.accelerator.wait_for_everyone()


def _averages(losses: dict[str, Tensor]) -> Losses:
    means = total(torch.stack([loss.float() for loss in losses.values()])) / processes()[1]
    return dict(zip(losses, means.tolist(), strict=True))


def mixed_seed(*numbers: int) -> int:
    """Return one seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
