"""all-MiniLM trained by sentence-transformers' own trainer, once for each way with false negatives.

All arms share the first weights, the rows, their order, the batches' size and the number of steps,
and differ in the loss alone; exceptions are said beside the arm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from numpy.typing import NDArray
from peer_shops import PeerShop, Sides
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    GISTEmbedLoss,
    MultipleNegativesRankingLoss,
)
from torch import nn
from transformers import BertModel, PrinterCallback
from transformers.utils import logging

from trainer.config import MINILM
from trainer.integrations.positives import MaskedRankingLoss, Positives
from trainer.model.encoder import bert_folder

TEMPERATURE = 0.05  # MultipleNegativesRankingLoss's own, and every sentence arm's
MAX_TOKENS = 32
LOCKED_LAYERS = 3  # of MiniLM's six, with the word embeddings: half the time of a step
WARMUP = 0.1  # share of the steps

SENTENCE_ARMS = {
    "untrained": "MiniLM as it is",
    "mnrl": "MultipleNegativesRankingLoss on the clicks",
    "no duplicates": "the same, BatchSamplers.NO_DUPLICATES (another order of the rows)",
    "gist": "GISTEmbedLoss as it is, guided by untrained MiniLM",
    "gist titles": "GISTEmbedLoss against titles alone, as mnrl and the masks are",
    "gist margin": "GISTEmbedLoss, margin_strategy relative, against queries too, as gist",
    "rows": "MultipleNegativesRankingLoss, corrections as further rows, no more steps",
    "verdicts": "MaskedRankingLoss, Positives(genfilt=False), separate=False",
    "drop": "MaskedRankingLoss, Positives(drop=True), separate=False",
    "correct": "MaskedRankingLoss, Positives(), separate=False: eq. 2",
    "separate": "MaskedRankingLoss, Positives(), as it is: positives do not compete",
}


@dataclass(frozen=True)
class Recipe:
    """How all arms of a family are trained."""

    epochs: int
    learning_rate: float
    batch_size: int = 128
    margin: float = 0.05  # of "gist margin"
    seed: int = 0

    def steps(self, rows: int) -> int:
        """Return the optimizer steps over so many rows."""
        return self.epochs * math.ceil(rows / self.batch_size)


def minilm() -> SentenceTransformer:
    """Return untrained MiniLM."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bars()
    model = SentenceTransformer(bert_folder(MINILM), device="cpu")
    model.max_seq_length = MAX_TOKENS
    return model


def bert_of(model: SentenceTransformer) -> BertModel:
    """Return the transformer inside a model."""
    return cast("BertModel", model[0].auto_model)


def train_sentences(shop: PeerShop, arm: str, recipe: Recipe) -> Sides:
    """Return the vectors of queries and titles after training MiniLM as an arm says."""
    model = minilm()
    if arm != "untrained":
        bert = bert_of(model)
        for part in (bert.embeddings, *bert.encoder.layer[:LOCKED_LAYERS]):
            part.requires_grad_(False)
        with TemporaryDirectory() as folder, encoder_in_bfloat16(model):
            trainer = SentenceTransformerTrainer(
                model,
                _arguments(folder, arm, recipe, len(shop.clicks.queries)),
                train_dataset=sentence_rows(shop, arm),
                loss=sentence_loss(model, shop, arm, recipe.margin),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
    model.eval()
    texts = (shop.query_texts(shop.queries), shop.titles(shop.products))
    return Sides(*(_encoded(model, side) for side in texts))


def _encoded(model: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
    made = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(made, dtype=np.float32)


@contextmanager
def encoder_in_bfloat16(model: SentenceTransformer) -> Iterator[None]:
    """Compute the layers, and nothing of the losses, in bfloat16 as long as the block lasts.

    The trainer's own option bf16 would round the logits of the library's losses too, and not ours.
    """
    plain = model[0].forward
    model[0].forward = torch.autocast("cpu", torch.bfloat16)(plain)
    try:
        yield
    finally:
        model[0].forward = plain


def _arguments(
    folder: str, arm: str, recipe: Recipe, rows: int
) -> SentenceTransformerTrainingArguments:
    steps = recipe.steps(rows)
    return SentenceTransformerTrainingArguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=int(WARMUP * steps),
        batch_sampler="no_duplicates" if arm == "no duplicates" else "batch_sampler",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=recipe.seed,
        use_cpu=True,
    )


def sentence_rows(shop: PeerShop, arm: str) -> Dataset:
    """Return the rows of an arm: query, title, and the numbers q and p as the label."""
    queries, titles, numbers = shop.clicks.queries, shop.clicks.titles, shop.clicks.numbers
    if arm == "rows":
        q, p = shop.corrected.T
        queries, titles = queries + shop.query_texts(q), titles + shop.titles(p)
        numbers = np.concatenate([numbers, shop.corrected])
    return Dataset.from_dict({"query": queries, "title": titles, "label": numbers.tolist()})


def sentence_loss(
    model: SentenceTransformer, shop: PeerShop, arm: str, margin: float = 0.0
) -> nn.Module:
    """Return the loss of an arm; all divide cosines by TEMPERATURE."""
    if arm in ("mnrl", "no duplicates", "rows"):
        return MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    if arm.startswith("gist"):
        more = arm != "gist titles"
        return GISTEmbedLoss(
            model,
            minilm(),
            temperature=TEMPERATURE,
            margin_strategy="relative",
            margin=margin if arm == "gist margin" else 0.0,  # 0 is the same by either strategy
            contrast_anchors=more,
            contrast_positives=more,
        )
    table = Positives(shop.db, genfilt=arm != "verdicts", drop=arm == "drop")
    return MaskedRankingLoss(model, table, TEMPERATURE, separate=arm == "separate")
