"""Train a sentence-transformers model on clicks, with genfilt's table as its positives.

    python examples/sentence_transformers_mask.py
    python examples/sentence_transformers_mask.py --db artifacts/genfilt.duckdb

Three runs from the same weights on the same batches: each query's own click as its only positive
(the library's MultipleNegativesRankingLoss), the log's other verdicts as positives too, and
genfilt's corrections as well. Only the last two lines of `train` differ from a run without genfilt.
"""

from __future__ import annotations

import time
from tempfile import TemporaryDirectory

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from synth_shop import Held, database, options
from transformers import PrinterCallback

from trainer.config import MINILM
from trainer.integrations.positives import MaskedRankingLoss, Positives
from trainer.model.encoder import bert_folder

TEMPERATURE = 0.05
LAYERS = 3  # that are trained


def train(
    positives: Positives | None, rows: Dataset, epochs: int, seed: int
) -> SentenceTransformer:
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
        loss = (
            MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
            if positives is None
            else MaskedRankingLoss(model, positives, TEMPERATURE)
        )
        trainer = SentenceTransformerTrainer(model, arguments, train_dataset=rows, loss=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model.eval()


def main() -> None:
    """Train three times and compare."""
    given = options(__doc__.splitlines()[0], epochs=4, seeds=1)
    db, truth = database(given)
    held = Held.read(db, truth)
    tables = {
        "own click alone": None,
        "verdicts of the log": Positives(db, genfilt=False),
        "and corrections": Positives(db),
    }
    clicks = Positives(db).clicks()
    rows = Dataset.from_dict(
        {"query": clicks.queries, "title": clicks.titles, "label": clicks.numbers.tolist()}
    )
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tables}
    for name, positives in tables.items():
        began = time.monotonic()
        for seed in range(given.seeds):
            model = train(positives, rows, given.epochs, seed)
            queries = model.encode(held.queries, normalize_embeddings=True)
            titles = model.encode(held.titles, normalize_embeddings=True)
            scores[name].append(queries @ titles.T)
        print(f"{name}: trained in {time.monotonic() - began:.0f} s", flush=True)
    held.compare(scores)


if __name__ == "__main__":
    main()
