"""The epoch whose weights are kept: the one with the best AUC of Q->M on val."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.common.statistics import auc
from trainer.database.reading import columns, open_database
from trainer.evaluation.candidates import LABELS
from trainer.evaluation.encode import encode_numbers
from trainer.evaluation.scorers import inner_product
from trainer.training import checkpoint
from trainer.training.run_log import Progress

if TYPE_CHECKING:
    from trainer.database.catalogue import Catalogue
    from trainer.model.query_life import QueryLife

SELECTION_SPLIT = "val"
BEST = "best.safetensors"


class BestEpoch:
    """Measures the model after each epoch and keeps the weights of the best.

    Args:
        db: a genfilt database.
        catalogue: its texts and pictures.
        run: the run's folder, which holds the best weights until the run is finished.

    Raises:
        UserError: val has no labels of both kinds to choose by.
    """

    def __init__(self, db: Path, catalogue: Catalogue, run: Path) -> None:
        with open_database(db) as connection:
            labels = columns(connection, LABELS.format(split=SELECTION_SPLIT))
        self.query = np.ascontiguousarray(labels["q"], dtype=np.int32)
        self.product = np.ascontiguousarray(labels["p"], dtype=np.int32)
        self.positive = np.asarray(labels["positive"], dtype=np.bool_)
        if self.positive.all() or not self.positive.any():
            raise UserError(
                f"--keep best needs {SELECTION_SPLIT} labels of both kinds, got "
                f"{len(self.positive)} of one kind; ingest more labels, or leave --keep out."
            )
        self.catalogue, self.path = catalogue, run / BEST

    def look(self, model: QueryLife, progress: Progress, epoch: int) -> None:
        """Measure the model after epoch 1, 2, ...; keep its weights where it is the best so far.

        Raises:
            UserError: the weights cannot be written.
        """
        training = model.training
        model.eval()
        queries, products = np.unique(self.query), np.unique(self.product)
        encoded = encode_numbers(model, self.catalogue, queries, products)
        model.train(training)
        scores = inner_product(encoded.query, encoded.fused)(self.query, self.product)
        found = auc(scores, self.positive)
        if found > progress.best_auc or not self.path.exists():
            progress.best_epoch, progress.best_auc = epoch, found
            checkpoint.write_weights(checkpoint.stored(model), self.path)

    def restore(self, model: QueryLife, progress: Progress) -> None:
        """Give the model the best epoch's weights.

        Raises:
            UserError: the file of the weights is gone.
        """
        checkpoint.load_weights_of(model, self.path)
        self.path.unlink()
        say(
            f"The weights are those of epoch {progress.best_epoch}, with an AUC of "
            f"{progress.best_auc:.3f} on {SELECTION_SPLIT}, by which it was chosen: measure them "
            "on --split test."
        )
