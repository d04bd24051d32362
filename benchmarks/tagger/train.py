"""Train the tagger's weights on generated titles: `python benchmarks/tagger/train.py`.

With the default seed it makes the weights that the package ships, in a few minutes of one core.
LoRA of rank 8 on all linear layers of MiniLM, AdamW at 2e-3 with a linear warm-up and decay,
batches of 32, one epoch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from training_titles import LabelledTitle, generate

import genfilt.generators.tagger as package
from genfilt.generators.tagger.title_words import TitleWords, title_words
from genfilt.generators.tagger.token_model import (
    LORA_A,
    LORA_B,
    WEIGHTS,
    TokenModel,
    batch,
    linear_layers,
    minilm,
)
from genfilt.generators.tagger.word_labels import begin_label

RANK = 8
LEARNING_RATE = 2e-3
BATCH = 32
WARM_UP = 0.06  # of the steps
TITLES = 20_000
SEED = 20_261_125
SORTED_TOGETHER = 50 * BATCH  # titles that are sorted by length before they are cut into batches
NO_LABEL = -100  # of padding


class LowRankLinear(nn.Module):
    """A frozen linear layer with a trained update B A of its weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.a = nn.Parameter(torch.randn(RANK, layer.in_features) / layer.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(layer.out_features, RANK))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs (..., in) times (W + B A)^T, (..., out)."""
        found: Tensor = self.layer(inputs) + (inputs @ self.a.T) @ self.b.T
        return found


def labels_of(title: LabelledTitle) -> list[int]:
    """Return the number of each word's label."""
    return [
        0 if not field else begin_label(field) + (not begins)
        for field, begins in zip(title.fields, title.begins, strict=True)
    ]


def batches(titles: Sequence[TitleWords], rng: Random) -> Iterator[list[int]]:
    """Yield rows of titles of like length, in random order."""
    order = list(range(len(titles)))
    rng.shuffle(order)
    cut = []
    for start in range(0, len(order), SORTED_TOGETHER):
        near = sorted(order[start : start + SORTED_TOGETHER], key=lambda n: len(titles[n].pieces))
        cut += [near[at : at + BATCH] for at in range(0, len(near), BATCH)]
    rng.shuffle(cut)
    yield from cut


def adapted(model: TokenModel) -> dict[str, LowRankLinear]:
    """Put a low-rank update beside each linear layer of the encoder; the rest of it is frozen."""
    model.encoder.requires_grad_(False)
    found = {}
    for name, layer in linear_layers(model.encoder).items():
        parent, _, child = name.rpartition(".")
        found[name] = LowRankLinear(layer)
        setattr(model.encoder.get_submodule(parent), child, found[name])
    return found


def train(titles: Sequence[LabelledTitle], seed: int) -> dict[str, Tensor]:
    """Return the trained weights: the low-rank updates, the case embeddings and the head."""
    torch.manual_seed(seed)
    model = TokenModel(minilm())
    updates = adapted(model)
    inputs = title_words([title.text for title in titles])
    labels = [labels_of(title) for title in titles]
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
    steps = -(-len(titles) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (WARM_UP * steps), 1 - step / steps)
    )
    model.train()
    started, losses = time.perf_counter(), []
    for step, rows in enumerate(batches(inputs, Random(seed))):
        loss = loss_of(model, [inputs[row] for row in rows], [labels[row] for row in rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 49:
            seconds = time.perf_counter() - started
            print(f"step {step + 1}/{steps} loss {sum(losses[-50:]) / 50:.4f} {seconds:.0f} s")
    return shipped(model, updates)


def loss_of(
    model: TokenModel, titles: Sequence[TitleWords], labels: Sequence[Sequence[int]]
) -> Tensor:
    """Return the mean cross-entropy of the words' labels."""
    arguments = batch(titles)
    target = torch.full((len(titles), arguments[3].shape[1] - 1), NO_LABEL)
    for row, each in enumerate(labels):
        target[row, : len(each)] = torch.tensor(each)
    scores = model(*arguments).flatten(0, 1)
    return nn.functional.cross_entropy(scores, target.flatten(), ignore_index=NO_LABEL)


def shipped(model: TokenModel, updates: Mapping[str, LowRankLinear]) -> dict[str, Tensor]:
    """Return the trained weights by name in half precision."""
    found = {f"{name}{LORA_A}": each.a for name, each in updates.items()}
    found |= {f"{name}{LORA_B}": each.b for name, each in updates.items()}
    for part in ("case_input", "case_head", "head"):
        found |= {f"{part}.{name}": each for name, each in getattr(model, part).named_parameters()}
    return {name: each.detach().half().contiguous() for name, each in found.items()}


def main() -> None:
    """Generate the titles, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(package.__path__[0]) / WEIGHTS)
    parser.add_argument("--titles", type=int, default=TITLES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--without", default="", help="departments to leave out, with commas")
    options = parser.parse_args()
    torch.set_num_threads(1)
    without = frozenset(filter(None, options.without.split(",")))
    weights = train(list(generate(options.titles, options.seed, without)), options.seed)
    save_file(weights, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
