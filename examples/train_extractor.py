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
import time
from pathlib import Path

import torch
from packed_prompts import ROW, read_examples
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from tuning_run import CHECKPOINT, Options, Run

RANK = 16  # of the updates; 10 MB in half precision for a model of 135 million weights


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
    options = Options(
        given.out, device, size, given.minutes, given.max_steps, given.seed, given.save_every
    )
    model = adapted(given.model, device)
    model.train()
    Run(model, model.get_base_model(), options).train(prefix, examples)
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
    one.add_argument("--save-every", type=float, default=120.0, help="seconds, of checkpoints")
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
