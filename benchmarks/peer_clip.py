"""A small CLIP of queries and pictures, trained by a loop in the manner of open_clip's.

open_clip itself needs torchvision, so its loop and its ClipLoss are written out here. All
arms share the first weights, the rows, their order and the number of steps, and differ in the loss
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from peer_sentences import WARMUP, Recipe, bert_of, minilm
from peer_shops import PeerShop, Sides
from torch import Tensor, nn
from torch.nn import functional

from trainer.integrations.positives import MaskedClipLoss, Positives
from trainer.losses.contrastive import contrastive
from trainer.model.vision import SmallTower
from trainer.serving.relevance_model import picture_reader

TEXT_LAYERS = 2  # of MiniLM's six, whose word embeddings are locked
PICTURE, PATCH, WIDTH = 64, 16, 128
MAX_SCALE = 100.0  # of the logits, as open_clip clamps it
WEIGHT_DECAY = 0.05

CLIP_ARMS = {
    "clip": "ClipLoss on the clicks",
    "clip verdicts": "MaskedClipLoss, Positives(genfilt=False)",
    "clip drop": "ClipLoss without the corrected pairs in the denominators",
    "clip correct": "MaskedClipLoss, Positives()",
}


class SmallClip(nn.Module):
    """Two towers and a temperature, with open_clip's method names."""

    def __init__(self) -> None:
        super().__init__()
        self.text = minilm()
        bert = bert_of(self.text)
        bert.encoder.layer = bert.encoder.layer[:TEXT_LAYERS]
        bert.embeddings.requires_grad_(False)
        self.tower = SmallTower(PICTURE, PATCH, WIDTH, 1)
        self.text_projection = nn.Linear(bert.config.hidden_size, WIDTH)
        self.visual_projection = nn.Linear(WIDTH, WIDTH)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, W) of pixels (B, 3, S, S)."""
        return functional.normalize(self.visual_projection(self.tower(pixels).mean(1)), dim=-1)

    def encode_text(self, texts: list[str]) -> Tensor:
        """Return unit vectors (B, W) of B texts."""
        states = self.text(self.text.preprocess(texts))["sentence_embedding"]
        return functional.normalize(self.text_projection(states), dim=-1)


class ClipArm:
    """The loss of an arm over pictures and queries of a batch."""

    def __init__(self, shop: PeerShop, arm: str) -> None:
        self.arm = arm
        self.verdicts = Positives(shop.db, genfilt=False)
        self.table = self.verdicts if arm == "clip verdicts" else Positives(shop.db)
        self.masked = MaskedClipLoss()

    def __call__(
        self, images: Tensor, texts: Tensor, scale: Tensor, numbers: NDArray[np.int32]
    ) -> Tensor:
        """Return the loss of unit vectors (B, W) of rows with numbers q and p (B, 2)."""
        if self.arm == "clip":  # open_clip's ClipLoss
            logits, own = scale * images @ texts.T, torch.arange(len(numbers))
            there, back = (functional.cross_entropy(side, own) for side in (logits, logits.T))
            return (there + back) / 2
        q, p = numbers.T
        positive = self.table.query_mask(q, p, "image").T
        if self.arm != "clip drop":
            loss = self.masked(images, texts, scale, positive)
            assert isinstance(loss, Tensor)
            return loss
        known = self.verdicts.query_mask(q, p, "image").T
        own_pairs = torch.tensor(known).fill_diagonal_(True)
        dropped = torch.tensor(positive & ~known)
        there = contrastive(images, texts, own_pairs, 1 / scale, dropped)
        return (there + contrastive(texts, images, own_pairs.T, 1 / scale, dropped.T)) / 2


def train_clip(shop: PeerShop, arm: str, recipe: Recipe) -> Sides:
    """Return the vectors of queries and pictures after training a small CLIP as an arm says."""
    torch.manual_seed(recipe.seed)
    model, loss = SmallClip().train(), ClipArm(shop, arm)
    pictures = _pixels(shop)
    row_picture = np.searchsorted(shop.pictured, shop.clicks.numbers[:, 1])
    numbers = shop.clicks.numbers
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(recipe.steps(len(numbers))))
    for batch in _batches(len(numbers), recipe):
        texts = model.encode_text([shop.clicks.queries[row] for row in batch])
        scale = model.logit_scale.exp()
        optimizer.zero_grad()
        images = model.encode_image(pictures[row_picture[batch]])
        loss(images, texts, scale, numbers[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(MAX_SCALE))
    return _clip_sides(model.eval(), shop, recipe.batch_size)


def _batches(rows: int, recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(recipe.seed)
    for _ in range(recipe.epochs):
        shuffled = order.permutation(rows)
        for start in range(0, rows, recipe.batch_size):
            yield shuffled[start : start + recipe.batch_size]


def _cosine(steps: int) -> Callable[[int], float]:
    """Return the learning rate's factor by step: a linear warm-up, then half a cosine."""
    warmup = int(WARMUP * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2

    return factor


@lru_cache(maxsize=1)
def _pixels(shop: PeerShop) -> Tensor:
    """Return the pictures (N, 3, S, S) of the products `pictured`."""
    read = picture_reader(SmallTower(PICTURE, PATCH, WIDTH, 1).transform)
    return torch.stack([read(path) for path in shop.pictures(shop.pictured)])


@torch.inference_mode()
def _clip_sides(model: SmallClip, shop: PeerShop, size: int) -> Sides:
    texts = shop.query_texts(shop.queries)
    pictures = _pixels(shop)[np.searchsorted(shop.pictured, shop.products)]
    query = [model.encode_text(texts[at : at + size]) for at in range(0, len(texts), size)]
    product = [model.encode_image(part) for part in torch.split(pictures, size)]
    return Sides(torch.cat(query).numpy(), torch.cat(product).numpy())
