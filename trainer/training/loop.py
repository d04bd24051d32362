"""Training of one stage, from the database to the stage's folder."""

from __future__ import annotations

import json
import resource
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genfilt.common.console import say, track
from genfilt.common.errors import UserError
from trainer.batches.mask import Masks
from trainer.batches.reader import Batch, BatchPlan, BatchReader, inputs_of, loader
from trainer.batches.vision_cache import FeatureCache, cache_features
from trainer.config import FitConfig
from trainer.database.catalogue import Catalogue, Rows, load_catalogue, load_rows
from trainer.database.known_pairs import count_new_corrections, load_known_pairs
from trainer.database.reading import open_database
from trainer.distributed import processes, total
from trainer.model.query_life import QueryLife, parameter_report
from trainer.training import checkpoint
from trainer.training.objective import Objective, parts_of
from trainer.training.optim import build_optimizer, schedule, set_rate
from trainer.training.run_log import Log, Progress, Summary

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Source:
    """All that a stage reads from the database."""

    catalogue: Catalogue
    masks: Masks
    rows: Rows
    unpictured: list[tuple[str, str]]  # product id, reason
    added: tuple[int, int]  # (query, product) and (image, title) pairs that genfilt adds

    @classmethod
    def read(cls, db: Path, config: FitConfig) -> Source:
        """Read a genfilt database for a stage.

        Raises:
            UserError: it cannot be opened, or has no row for the stage.
        """
        with open_database(db) as connection:
            catalogue = load_catalogue(connection)
            rows, unpictured = load_rows(connection, config.stage, catalogue)
            genfilt = "genfilt" not in config.without
            known = load_known_pairs(connection, genfilt=genfilt)
            added = count_new_corrections(connection) if genfilt else (0, 0)
        return cls(catalogue, Masks(known, catalogue.contents), rows, unpictured, added)


class Stage:
    """One stage's training: its model, its batches and how far it has come."""

    def __init__(self, config: FitConfig, source: Source, out: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.source = config, source
        self.folder = checkpoint.stage_folder(out, config.stage)
        self.accelerator = make_accelerator(config)
        self.model = QueryLife.build(config.model).to(self.accelerator.device)
        self.optimizer = build_optimizer(self.model, config)
        self.progress = Progress()
        rank, count = processes()
        rows = len(source.rows)
        self.plan = BatchPlan(rows, config.batch_size, config.epochs, config.seed, rank, count)

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return bool(self.accelerator.is_main_process)

    def start(self, out: Path) -> None:
        """Take the weights of the stage before, where there are some, and say which."""
        number = self.config.stage
        before = checkpoint.stage_folder(out, number - 1)
        if number > 1 and checkpoint.is_done(before):
            checkpoint.load_weights(self.model, before)
            self._say(f"Stage {number} starts from {before}.")
        elif number > 1:
            self._say(
                f"Stage {number} starts from scratch: {out} holds no finished stage {number - 1}."
            )
        if self.main:
            checkpoint.drop_steps(self.folder)

    def resume(self, step: Path) -> None:
        """Go on from a step folder."""
        self.progress = Progress(**checkpoint.load_step(step, self.model, self.optimizer))
        self._say(f"Stage {self.config.stage} goes on from {step}.")

    def train(self) -> Summary:
        """Train to the end of the plan and write the stage's folder.

        Raises:
            UserError: a loss is not finite.
        """
        self._say(parameter_report(self.model))
        config = self.config
        parts = parts_of(config.stage, config.without, cross_query=config.cross_query)
        objective = self.accelerator.prepare(
            Objective(self.model, self.source.masks, parts, config.seed, config.micro_batch)
        )
        objective.train()
        with Log(self.folder, self.progress.step, write=self.main) as log:
            losses = self._batches(objective, log)
        self._gather_skipped()
        summary = self._summary(losses)
        if self.main:
            self._list_skipped()
            summary.write(self.folder)
            checkpoint.save_stage(self.folder, self.model, self.config)
        self.accelerator.wait_for_everyone()
        return summary

    def _batches(self, objective: torch.nn.Module, log: Log) -> dict[str, float]:
        config, plan = self.config, self.plan
        values: dict[str, float] = {}
        began = time.monotonic() - self.progress.seconds
        batches = loader(self._reader(), plan, self.progress.step, config.workers)
        title = f"stage {config.stage}"
        with track(title, plan.batches, done=self.progress.step, show=self.main) as advance:
            for batch in batches:
                updates = (batch.number + 1) % config.accumulation == 0
                update = updates or batch.number + 1 == plan.batches
                values = self._step(objective, batch, update) or values
                self.progress.step = batch.number + 1
                self.progress.seconds = time.monotonic() - began
                log(batch.number, values)
                advance(1, values)
                taken = (batch.number + 1) // config.accumulation
                if updates and taken % config.save_steps == 0:
                    self._save()
        return values

    def _step(
        self, objective: torch.nn.Module, batch: Batch, update: bool
    ) -> dict[str, float] | None:
        """Run a batch; return its losses over all processes, None where nothing could be read."""
        self._note(batch)
        if len(batch.products) == 0:
            if processes()[1] > 1:
                raise UserError(
                    f"No picture of batch {batch.number} could be read ({batch.unread[0][1]}); "
                    "see that the picture files are where the database says."
                )
            return None
        inputs = inputs_of(
            batch, self.source.catalogue, self.model.tokenize, self.accelerator.device
        )
        torch.manual_seed(_mixed(self.config.seed, batch.number, processes()[0]))
        with nullcontext() if update else self.accelerator.no_sync(objective):
            losses, logged = objective(inputs)
            values = self._averages(losses)
            self._check(values, batch, logged["faulty"])
            self.accelerator.backward(torch.stack(list(losses.values())).sum())
        self.progress.rows += int(total(torch.tensor(len(batch.rows), device=inputs.images.device)))
        self.progress.positives += int(total(logged["positives"].sum()))
        if update:
            self._update(objective, batch, values, logged["faulty"])
        return values

    def _update(
        self,
        objective: torch.nn.Module,
        batch: Batch,
        values: dict[str, float],
        faulty: Tensor,
    ) -> None:
        config = self.config
        norm = self.accelerator.clip_grad_norm_(objective.parameters(), config.max_grad_norm)
        self._check({**values, "gradient": float(norm)}, batch, faulty)
        steps = -(-self.plan.batches // config.accumulation)
        set_rate(
            self.optimizer,
            schedule(batch.number // config.accumulation, config.warmup_steps, steps),
        )
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _reader(self) -> BatchReader:
        config, model = self.config, self.model
        trained = not model.vision.frozen
        return BatchReader(
            self.source.rows,
            self.source.catalogue.images,
            model.image_transform,
            seed=config.seed if config.augment and trained else None,
            features=self._cache() if config.cache_vision else None,
        )

    def _cache(self) -> FeatureCache:
        images, products = self.source.catalogue.images, np.unique(self.source.rows.product)
        paths = dict(zip(products.tolist(), images.take(products).to_pylist(), strict=True))
        once = Rows(np.full_like(products, -1), products, np.ones(len(products), dtype=np.bool_))
        reader = BatchReader(once, images, self.model.image_transform, seed=None)
        batches = loader(reader, BatchPlan(len(products), 32, 1, 0), 0, self.config.workers)
        with self.accelerator.main_process_first():
            return cache_features(self.model, paths, batches, self.folder.parent)

    def _averages(self, losses: dict[str, Tensor]) -> dict[str, float]:
        means = total(torch.stack([loss.float() for loss in losses.values()])) / processes()[1]
        return dict(zip(losses, means.tolist(), strict=True))

    def _check(self, values: dict[str, float], batch: Batch, faulty: Tensor) -> None:
        bad = [name for name, value in values.items() if not np.isfinite(value)]
        if not bad:
            return
        places = np.flatnonzero(faulty.cpu().numpy())
        rows = batch.rows.at(places if len(places) else np.arange(len(batch.rows)))
        raise UserError(
            f"{' and '.join(bad)} of batch {batch.number} is not finite, with "
            f"{len(rows)} of {len(batch.rows)} rows at fault: {self._names(rows)}; look at these "
            "rows, then go on from the last checkpoint with --resume."
        )

    def _names(self, rows: Rows, most: int = 5) -> str:
        catalogue = self.source.catalogue
        shown = rows.at(np.arange(min(most, len(rows))))
        names = catalogue.texts(catalogue.product_ids, shown.product)
        if self.config.stage > 1:
            queries = catalogue.texts(catalogue.queries, shown.query)
            names = [f"'{query}' with {name}" for query, name in zip(queries, names, strict=True)]
        return ", ".join(names) + (", ..." if len(rows) > most else "")

    def _note(self, batch: Batch) -> None:
        ids = self.source.catalogue.product_ids
        for p, reason in batch.unread:
            name = str(ids[p].as_py())
            if name not in self.progress.skipped:
                self.progress.skipped[name] = reason
                say(f"The picture of {name} is skipped: {reason}.")

    def _gather_skipped(self) -> None:
        from accelerate.utils import gather_object

        if processes()[1] > 1:
            self.progress.skipped = dict(gather_object(list(self.progress.skipped.items())))

    def _list_skipped(self) -> None:
        found = dict(self.source.unpictured) | self.progress.skipped
        path = self.folder / "skipped.json"
        path.unlink(missing_ok=True)
        if found:
            path.write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")
            say(f"{len(found)} products were skipped for their pictures; {path} lists them.")

    def _save(self) -> None:
        if self.main:
            state = vars(self.progress)
            checkpoint.save_step(self.folder, self.model, self.optimizer, self.config, state)
        self.accelerator.wait_for_everyone()

    def _summary(self, losses: dict[str, float]) -> Summary:
        pairs, matches = self.source.added
        return Summary(
            stage=self.config.stage,
            folder=str(self.folder),
            rows=len(self.source.rows),
            steps=self.plan.batches,
            query_product_corrections=pairs,
            image_title_corrections=matches,
            positives_a_row=round(self.progress.positives_a_row, 3),
            losses={name: round(value, 4) for name, value in losses.items()},
            minutes=round(self.progress.seconds / 60, 2),
            peak_memory_gib=round(_peak_gib(), 2),
            skipped=len(dict(self.source.unpictured) | self.progress.skipped),
            without=self.config.without,
        )

    def _say(self, text: str) -> None:
        if self.main:
            say(text)


def fit(config: FitConfig, db: Path, out: Path, *, resume: bool = False) -> Summary:
    """Train a stage and write it to out/stageN.

    Args:
        config: of the stage; with `resume` that of the checkpoint to go on from.
        db: a genfilt database.
        out: the run's folder, in which stage n looks for stage n - 1.
        resume: go on from the stage's last checkpoint, as if it had never been interrupted.

    Raises:
        UserError: the database, a checkpoint or the options do not fit, or training diverged.
    """
    folder = checkpoint.stage_folder(out, config.stage)
    step = checkpoint.latest_step(folder) if resume else None
    if resume and step is None and checkpoint.is_done(folder):
        say(f"Stage {config.stage} is finished already, in {folder}.")
        return Summary.read(folder)
    if resume and step is None:
        say(f"Stage {config.stage} has no checkpoint in {folder} yet: it begins anew.")
    stage = Stage(config, Source.read(db, config), out)
    if step is None:
        stage.start(out)
    else:
        stage.resume(step)
    return stage.train()


def make_accelerator(config: FitConfig) -> Accelerator:
    """Return accelerate's view of devices and processes for a configuration."""
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # Where a part of the model is left out, gradients of its weights never come.
    partly = config.stage == 1 or bool(config.without)
    several = DistributedDataParallelKwargs(find_unused_parameters=partly)
    cpu = not torch.cuda.is_available()
    return Accelerator(
        cpu=cpu,  # without it accelerate wraps no module for processes that share a CPU
        mixed_precision="no" if cpu else config.mixed_precision,
        gradient_accumulation_steps=config.accumulation,
        kwargs_handlers=[several],
    )


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
