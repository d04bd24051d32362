"""Fine-tune a language model to read titles: LoRA on examples of question and reply.

    pip install 'genfilt[tuning]'
    python examples/smollm2.py --out artifacts/smollm2
    python examples/extractor_examples.py --count 120000 --out artifacts/examples.jsonl.gz
    python examples/train_extractor.py train --model artifacts/smollm2 \\
        --examples artifacts/examples.jsonl.gz --out artifacts/adapter --minutes 110
    python examples/train_extractor.py merge --model artifacts/smollm2 \\
        --adapter artifacts/adapter --out artifacts/extractor
    genfilt extract --llm vllm --llm-model artifacts/extractor

The prompt is the one that genfilt asks with, and the loss is that of the reply alone. All requests
share the prompt's first part, so one row of a batch holds it once with many questions and replies
behind it, each of which sees it and itself alone. An interrupted run goes on from its last
checkpoint when it is started again. Training needs torch, transformers and peft alone.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from packed_prompts import ROW, Batch, Example, pack, read_examples, reply_loss, steps_of
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

RANK = 16  # of the updates; 10 MB in half precision for a model of 135 million weights
LEARNING_RATE = 1e-3
WARM_UP = 0.04  # of the run
SAVE_EVERY = 120.0  # seconds between checkpoints
REPORT_EVERY = 10  # steps
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Options:
    """How to train."""

    out: Path
    device: torch.device
    step_examples: int
    minutes: float
    max_steps: int
    seed: int


def adapted(folder: Path, device: torch.device) -> PeftModel:
    """Return the model in bfloat16 with low-rank updates of all its linear layers in float32."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    found = get_peft_model(model, config).to(device)
    for weight in found.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return found


class Run:
    """One training run, which can be interrupted and taken up again."""

    def __init__(self, model: PeftModel, options: Options) -> None:
        self._model, self._options = model, options
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
            if time.perf_counter() - saved_at > SAVE_EVERY:
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
            loss = reply_loss(self._model.get_base_model(), batch)
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


def train(given: argparse.Namespace) -> None:
    """Train and write the adapter in half precision."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(found if given.device == "auto" else given.device)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(given.seed)
    started = time.perf_counter()
    prefix, examples = read_examples(given.examples, AutoTokenizer.from_pretrained(given.model))
    tokens = sum(len(e.question) + len(e.reply) for e in examples) / len(examples)
    seconds = time.perf_counter() - started
    print(
        f"{len(examples):,} examples of {tokens:.0f} tokens behind {len(prefix)}, {seconds:.0f} s"
    )
    size = -(-given.step_examples // ROW) * ROW
    options = Options(given.out, device, size, given.minutes, given.max_steps, given.seed)
    model = adapted(given.model, device)
    model.train()
    Run(model, options).train(prefix, examples)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.half()
    model.save_pretrained(given.out)
    (given.out / CHECKPOINT).unlink(missing_ok=True)
    print(f"{given.out} is ready")


def merge(given: argparse.Namespace) -> None:
    """Write the model with the adapter's updates added, and its tokenizer, for serving."""
    base = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, given.adapter, torch_dtype=torch.float32)
    whole = merged.merge_and_unload().to(torch.bfloat16)
    given.out.mkdir(parents=True, exist_ok=True)
    whole.save_pretrained(given.out)
    AutoTokenizer.from_pretrained(given.model).save_pretrained(given.out)
    print(f"{given.out} is ready: genfilt extract --llm vllm --llm-model {given.out}")


def main() -> None:
    """Train or merge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train an adapter")
    one.set_defaults(run=train)
    one.add_argument("--model", type=Path, required=True, help="folder of the model to tune")
    one.add_argument("--examples", type=Path, required=True, help="file of extractor_examples.py")
    one.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    one.add_argument("--minutes", type=float, default=110.0, help="the most that training takes")
    one.add_argument("--step-examples", type=int, default=128, help="examples of one step")
    one.add_argument("--max-steps", type=int, default=1_000_000)
    one.add_argument("--seed", type=int, default=0)
    two = commands.add_parser("merge", help="add an adapter to its model")
    two.set_defaults(run=merge)
    two.add_argument("--model", type=Path, required=True, help="folder of the model")
    two.add_argument("--adapter", type=Path, required=True, help="folder of the adapter")
    two.add_argument("--out", type=Path, required=True, help="folder to write")
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
