"""Training of a language model's trainable weights, with checkpoints to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from packed_prompts import Batch, Example, pack, reply_loss, steps_of
from torch import Tensor, nn
from transformers import LlamaForCausalLM

LEARNING_RATE = 1e-3
WARM_UP = 0.04  # of the run
REPORT_EVERY = 10  # steps
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Options:
    """How to train; minutes and max_steps each end a run."""

    out: Path
    device: torch.device
    step_examples: int
    minutes: float
    max_steps: int
    seed: int
    save_every: float = 120.0  # seconds between checkpoints


class Run:
    """One training run, which can be interrupted and taken up again.

    A run that was killed goes on from its last checkpoint; where steps and not minutes end it, it
    ends with the weights of a run that was not.

    Args:
        model: whose weights that require a gradient are trained.
        language_model: computes the loss with these weights; `model` itself or a part of it.
        options: how to train.
    """

    def __init__(
        self, model: nn.Module, language_model: LlamaForCausalLM, options: Options
    ) -> None:
        self._model, self._options = language_model, options
        self._trained = [each for each in model.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=LEARNING_RATE, weight_decay=0.01)
        self._file = options.out / CHECKPOINT
        self._step, self._seconds = 0, 0.0
        if self._file.exists():
            saved = torch.load(self._file, map_location=options.device, weights_only=True)
            for weight, value in zip(self._trained, saved["weights"], strict=True):
                weight.data.copy_(value)
            self._optimizer.load_state_dict(saved["optimizer"])
            self._step, self._seconds = saved["step"], saved["seconds"]
            print(f"taken up at step {self._step}", flush=True)

    def train(self, prefix: Sequence[int], examples: Sequence[Example]) -> None:
        """Make one pass over the examples, or as much of it as the minutes allow."""
        options, started, saved_at = self._options, time.perf_counter(), time.perf_counter()
        before, first, losses = self._seconds, self._step, []
        total = min(len(examples) // options.step_examples, options.max_steps)
        for number, rows in enumerate(steps_of(examples, options.step_examples, options.seed)):
            if number < first:
                continue
            done = max(number / total, self._seconds / (60 * options.minutes))
            if done >= 1:
                break
            losses.append(self._learn(pack(prefix, rows, options.device), done))
            self._step, self._seconds = number + 1, before + time.perf_counter() - started
            if self._step % REPORT_EVERY == 0:
                mean = sum(float(each) for each in losses[-REPORT_EVERY:]) / REPORT_EVERY
                print(
                    f"step {self._step}/{total} loss {mean:.4f} {self._seconds:.0f} s", flush=True
                )
            if time.perf_counter() - saved_at >= options.save_every:
                self._save()
                saved_at = time.perf_counter()
        if losses:
            print(f"{self._step} steps in {self._seconds:.0f} s, last loss {losses[-1]:.4f}")

    def _learn(self, batch: Batch, done: float) -> Tensor:
        """Take one step; `done` is the share of the run that lies behind."""
        rate = min(done / WARM_UP, 1.0) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-3
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        with torch.autocast(self._options.device.type, dtype=torch.bfloat16):
            loss = reply_loss(self._model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _save(self) -> None:
        """Write the checkpoint; a run that ends while it writes leaves the one before."""
        state = {
            "weights": [weight.data for weight in self._trained],
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "seconds": self._seconds,
        }
        written = self._file.with_suffix(".new")
        torch.save(state, written)
        written.replace(self._file)
