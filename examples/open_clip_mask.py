"""Train a CLIP on (query, picture of the clicked product), with genfilt's table as its positives.

    python examples/open_clip_mask.py
    python examples/open_clip_mask.py --db artifacts/genfilt.duckdb

The loop is open_clip's: features of both sides, a learned logit_scale, a loss of the three, which
here takes the mask of the batch too. Text is all-MiniLM, locked, under a projection; pictures
go through a small tower from scratch. Three runs from the same weights on the same batches.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from synth_shop import Held, database, options
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import MINILM
from trainer.integrations.positives import MaskedClipLoss, Positives
from trainer.model.encoder import bert_folder
from trainer.model.vision import SmallTower
from trainer.serving.relevance_model import picture_reader

SIZE, WIDTH, BATCH = 64, 64, 64


class Clip(nn.Module):
    """Two towers and a temperature, with open_clip's method names."""

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.tower = SmallTower(SIZE, 16, WIDTH, 2)
        self.visual_projection = nn.Linear(WIDTH, WIDTH)
        self.text_projection = nn.Linear(text_width, WIDTH)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, W) of pixels (B, 3, S, S)."""
        return functional.normalize(self.visual_projection(self.tower(pixels).mean(1)), dim=-1)

    def encode_text(self, states: Tensor) -> Tensor:
        """Return unit vectors (B, W) of the locked tower's states (B, H)."""
        return functional.normalize(self.text_projection(states), dim=-1)


def train(
    mask: Positives | None,
    numbers: NDArray[np.int32],
    rows: tuple[Tensor, Tensor],
    epochs: int,
    seed: int,
) -> Clip:
    """Return a CLIP trained on rows: states (N, H), pixels (N, 3, S, S), numbers q and p (N, 2)."""
    torch.manual_seed(seed)
    states, pixels = rows
    model, loss = Clip(states.shape[1]), MaskedClipLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    size = min(BATCH, len(numbers))
    steps = epochs * (len(numbers) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        shuffled = order.permutation(len(numbers))
        for start in range(0, len(numbers) - size + 1, size):
            batch = shuffled[start : start + size]
            q, p = numbers[batch].T
            positive = (
                np.eye(size, dtype=bool) if mask is None else mask.query_mask(q, p, "image").T
            )
            image_features = model.encode_image(pixels[batch])
            text_features = model.encode_text(states[batch])
            optimizer.zero_grad()
            loss(image_features, text_features, model.logit_scale.exp(), positive).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def main() -> None:
    """Train three times and compare."""
    given = options(__doc__.splitlines()[0], epochs=10, seeds=3)
    db, truth = database(given)
    held = Held.read(db, truth)
    tables = {
        "own click alone": None,
        "verdicts of the log": Positives(db, genfilt=False),
        "and corrections": Positives(db),
    }
    clicks = Positives(db).clicks()
    text = SentenceTransformer(bert_folder(MINILM), device="cpu")
    read = picture_reader(Clip(1).tower.transform)
    rows = (
        torch.from_numpy(text.encode(clicks.queries)),
        torch.stack([read(path) for path in clicks.images]),
    )
    states = torch.from_numpy(text.encode(held.queries))
    pixels = torch.stack([read(path) for path in held.images])
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tables}
    for name, mask in tables.items():
        began = time.monotonic()
        for seed in range(given.seeds):
            model = train(mask, clicks.numbers, rows, given.epochs, seed)
            with torch.inference_mode():
                found = model.encode_text(states) @ model.encode_image(pixels).T
            scores[name].append(found.numpy())
        print(f"{name}: trained in {time.monotonic() - began:.0f} s", flush=True)
    held.compare(scores)


if __name__ == "__main__":
    main()
