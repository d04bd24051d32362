"""The epoch whose weights are kept: the one with the best AUC of Q->M on val."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.arrays import Bools, Integers
from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.common.statistics import auc
from trainer.database.reading import columns, open_database
from trainer.evaluation.candidates import LABELS
from trainer.evaluation.encode import encode_numbers
from trainer.evaluation.scorers import inner_product
from trainer.process_group import from_main, is_main, on_main
from trainer.training import checkpoint
from trainer.training.run_log import Progress

if TYPE_CHECKING:
    from trainer.batches.picture_pack import PicturePack
    from trainer.database.catalogue import Catalogue
    from trainer.model.query_life import QueryLife

SELECTION_SPLIT = "val"
BEST = "best-{epoch}.safetensors"


class BestEpoch:
    """Measures the model after each epoch and keeps the weights of the best.

    Args:
        db: a genfilt database.
        catalogue: its texts and pictures.
        run: the run's folder, which holds the best weights until the run is finished.
        pack: the pictures, decoded; None where there is none.

    Raises:
        UserError: val has no labels of both kinds to choose by.
    """

    def __init__(
        self, db: Path, catalogue: Catalogue, run: Path, pack: PicturePack | None = None
    ) -> None:
        self.query, self.product, self.positive = on_main(lambda: _labels(db))
        self.catalogue, self.run, self.pack = catalogue, run, pack

    def look(self, model: QueryLife, progress: Progress, epoch: int) -> None:
        """Measure the model after epoch 1, 2, ...; keep its weights where it is the best so far.

        Every process encodes its part, and the first one measures and writes.

        Raises:
            UserError: the weights cannot be written.
        """
        training = model.training
        model.eval()
        queries, products = np.unique(self.query), np.unique(self.product)
        encoded = encode_numbers(model, self.catalogue, queries, products, self.pack)
        model.train(training)
        scores = inner_product(encoded.query, encoded.fused)(self.query, self.product)
        found = from_main(auc(scores, self.positive))
        if found > progress.best_auc or not progress.best_epoch:
            progress.best_epoch, progress.best_auc = epoch, found
            if is_main():
                checkpoint.write_weights(checkpoint.stored(model), self._weights(epoch))

    def saved(self, progress: Progress) -> None:
        """Remove the weights that no checkpoint of the run names any more."""
        for path in self.run.glob(BEST.format(epoch="*")):
            if path != self._weights(progress.best_epoch):
                path.unlink()

    def restore(self, model: QueryLife, progress: Progress) -> None:
        """Give the model the best epoch's weights; their file stays until the run is finished.

        Raises:
            UserError: the file of the weights is gone.
        """
        checkpoint.load_weights_of(model, self._weights(progress.best_epoch))
        say(
            f"The weights are those of epoch {progress.best_epoch}, with an AUC of "
            f"{progress.best_auc:.3f} on {SELECTION_SPLIT}, by which it was chosen: measure them "
            "on --split test."
        )

    def _weights(self, epoch: int) -> Path:
        return self.run / BEST.format(epoch=f"{epoch:04d}")


def _labels(db: Path) -> tuple[Integers, Integers, Bools]:
    """Return the labelled queries, products (N,) and whether they are positive."""
    with open_database(db) as connection:
        labels = columns(connection, LABELS.format(split=SELECTION_SPLIT))
    positive = np.asarray(labels["positive"], dtype=np.bool_)
    if positive.all() or not positive.any():
        raise UserError(
            f"--keep best needs {SELECTION_SPLIT} labels of both kinds, got "
            f"{len(positive)} of one kind; ingest more labels, or leave --keep out."
        )
    query, product = (np.asarray(labels[name], dtype=np.int32) for name in ("q", "p"))
    return query, product, positive
