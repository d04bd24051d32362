"""Batches of questions and replies that share the first part of a chat prompt."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

ROW = 16  # examples behind one shared prompt; attention grows with the square of a row
PLACEHOLDER = "QUESTION-7319"


@dataclass(frozen=True)
class Example:
    """Token ids of a question, as the chat template writes it, and of its reply."""

    question: list[int]
    reply: list[int]


@dataclass(frozen=True)
class Batch:
    """Rows that hold the shared prompt once and examples behind it.

    Attributes:
        ids, positions: (B, L).
        mask: (B, 1, L, L); true where a token may look at another.
        places: (N, 2); rows and columns of the tokens whose next token is of a reply.
        targets: (N,); these next tokens.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    places: Tensor
    targets: Tensor


def read_examples(
    path: Path, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[Example]]:
    """Return the token ids of the shared part of the prompt, and of the examples."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        shared = json.loads(next(file))["shared"]
        rows = [json.loads(line) for line in file]
    prefix = tokenizer.apply_chat_template(shared, tokenize=False)
    asked = [*shared, {"role": "user", "content": PLACEHOLDER}]
    whole = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    if not whole.startswith(prefix) or whole.count(PLACEHOLDER) != 1:
        raise SystemExit("The model's chat template does not write the messages one by one.")
    around = whole[len(prefix) :]
    questions = [around.replace(PLACEHOLDER, row["question"]) for row in rows]
    replies = [row["reply"] + tokenizer.eos_token for row in rows]
    plain = {"add_special_tokens": False}
    first = tokenizer(prefix, **plain)["input_ids"]
    pairs = zip(
        tokenizer(questions, **plain)["input_ids"],
        tokenizer(replies, **plain)["input_ids"],
        strict=True,
    )
    return first, [Example(question, reply) for question, reply in pairs]


def pack(prefix: Sequence[int], rows: Sequence[Sequence[Example]], device: torch.device) -> Batch:
    """Return a batch whose rows are `prefix` with the examples of each of `rows` behind it."""
    lengths = [
        len(prefix) + sum(len(e.question) + len(e.reply) for e in examples) for examples in rows
    ]
    longest = -(-max(lengths) // 64) * 64  # few different shapes
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    positions, group = torch.zeros_like(ids), torch.full_like(ids, -1)
    places, targets = [], []
    for row, examples in enumerate(rows):
        written, place, owner = list(prefix), list(range(len(prefix))), [0] * len(prefix)
        for number, each in enumerate(examples, 1):
            start = len(written) + len(each.question) - 1
            places += [(row, start + n) for n in range(len(each.reply))]
            targets += each.reply
            new = [*each.question, *each.reply]
            place += range(len(prefix), len(prefix) + len(new))
            owner += [number] * len(new)
            written += new
        ids[row, : len(written)] = torch.tensor(written)
        positions[row, : len(written)] = torch.tensor(place)
        group[row, : len(written)] = torch.tensor(owner)
    group = group.to(device)
    order = torch.arange(longest, device=device)
    mask = (group[:, :, None] == group[:, None, :]) | (group[:, None, :] == 0)
    mask &= order[:, None] >= order[None, :]
    moved = [torch.tensor(each).to(device) for each in (places, targets)]
    return Batch(ids.to(device), positions.to(device), mask[:, None], *moved)


def reply_loss(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the replies' tokens."""
    hidden = model.model(
        input_ids=batch.ids,
        position_ids=batch.positions,
        attention_mask=batch.mask,
        use_cache=False,
    ).last_hidden_state
    chosen = hidden[batch.places[:, 0], batch.places[:, 1]]
    return torch.nn.functional.cross_entropy(model.lm_head(chosen).float(), batch.targets)


def steps_of(examples: Sequence[Example], size: int, seed: int) -> Iterator[list[list[Example]]]:
    """Yield the rows of each step of one pass in an order that the seed fixes."""
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    for start in range(0, len(order) - size + 1, size):
        chosen = [examples[n] for n in order[start : start + size]]
        yield [chosen[at : at + ROW] for at in range(0, size, ROW)]
