"""Train a sentence-transformers model on clicks, with genfilt's table as its positives.

    python examples/sentence_transformers_mask.py
    python examples/sentence_transformers_mask.py --db artifacts/genfilt.duckdb

Five runs from the same weights on the same batches: each query's own click as its only positive
(the library's MultipleNegativesRankingLoss); the same without the negatives that an untrained guide
finds nearer than the click (its GISTEmbedLoss, columns of titles alone); the log's other verdicts
as positives too; genfilt's corrections dropped from the negatives, and as positives.
"""

from __future__ import annotations

import time
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    GISTEmbedLoss,
    MultipleNegativesRankingLoss,
)
from synth_shop import Held, database, options
from torch import nn
from transformers import PrinterCallback

from trainer.config import MINILM
from trainer.integrations.positives import MaskedRankingLoss, Positives
from trainer.model.encoder import bert_folder

TEMPERATURE = 0.05
LAYERS = 3  # that are trained


Way = Positives | Literal["click", "guide"]


def loss_of(model: SentenceTransformer, way: Way) -> nn.Module:
    """Return the loss of a way to treat false negatives."""
    if isinstance(way, Positives):
        return MaskedRankingLoss(model, way, TEMPERATURE)
    if way == "click":
        return MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    guide = SentenceTransformer(bert_folder(MINILM), device="cpu")
    columns = {"contrast_anchors": False, "contrast_positives": False}
    return GISTEmbedLoss(model, guide, temperature=TEMPERATURE, **columns)


def train(way: Way, rows: Dataset, epochs: int, seed: int) -> SentenceTransformer:
    """Return all-MiniLM trained on (query, title) rows whose column label holds q and p."""
    model = SentenceTransformer(bert_folder(MINILM), device="cpu")
    model.max_seq_length = 32
    bert = model[0].auto_model
    for part in (bert.embeddings, *bert.encoder.layer[:-LAYERS]):  # quick, and enough to compare
        part.requires_grad_(False)
    with TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=64,
            learning_rate=1e-4,
            warmup_steps=5,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=seed,
            use_cpu=True,
        )
        loss = loss_of(model, way)
        trainer = SentenceTransformerTrainer(model, arguments, train_dataset=rows, loss=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model.eval()


def main() -> None:
    """Train five times and compare."""
    given = options(__doc__.splitlines()[0], epochs=4, seeds=1)
    db, truth = database(given)
    held = Held.read(db, truth)
    ways: dict[str, Way] = {
        "own click alone": "click",
        "GISTEmbed's guide": "guide",
        "verdicts of the log": Positives(db, genfilt=False),
        "corrections dropped": Positives(db, drop=True),
        "and corrections": Positives(db),
    }
    clicks = Positives(db).clicks()
    rows = Dataset.from_dict(
        {"query": clicks.queries, "title": clicks.titles, "label": clicks.numbers.tolist()}
    )
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ways}
    for name, way in ways.items():
        began = time.monotonic()
        for seed in range(given.seeds):
            model = train(way, rows, given.epochs, seed)
            queries = model.encode(held.queries, normalize_embeddings=True)
            titles = model.encode(held.titles, normalize_embeddings=True)
            scores[name].append(queries @ titles.T)
        print(f"{name}: trained in {time.monotonic() - began:.0f} s", flush=True)
    held.compare(scores)


if __name__ == "__main__":
    main()
