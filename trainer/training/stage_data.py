"""Everything that a stage reads from the database: catalogue, masks, rows, correction counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.batches.mask import Masks
from trainer.config import FitConfig
from trainer.database.catalogue import Catalogue, Rows, load_catalogue, load_rows
from trainer.database.known_pairs import (
    CorrectionCounts,
    count_new_corrections,
    load_known_pairs,
)
from trainer.database.reading import open_database

NAMED_ROWS = 5  # in an error, which has to stay one sentence


@dataclass(frozen=True)
class StageData:
    """A stage's rows and what they refer to."""

    catalogue: Catalogue
    masks: Masks
    rows: Rows
    without_picture: list[tuple[str, str]]  # product id, reason
    corrections: CorrectionCounts

    @classmethod
    def read(cls, db: Path, config: FitConfig) -> StageData:
        """Read a genfilt database for a stage.

        Raises:
            UserError: it cannot be opened, or has no row for the stage.
        """
        with open_database(db) as connection:
            catalogue = load_catalogue(connection)
            rows, without_picture = load_rows(connection, config.stage, catalogue)
            genfilt = "genfilt" not in config.without
            known = load_known_pairs(connection, genfilt=genfilt)
            counts = count_new_corrections(connection) if genfilt else CorrectionCounts()
        if config.pairs is not None:
            known = known.corrected_by(Path(config.pairs))
        masks = Masks(known, catalogue.contents, drop=config.drop_corrections)
        return cls(catalogue, masks, rows, without_picture, counts)

    def texts(self) -> list[str]:
        """Return the queries and titles of all rows, each once."""
        catalogue, queries = self.catalogue, np.unique(self.rows.query)
        read = catalogue.texts(catalogue.queries, queries[queries >= 0])
        return read + catalogue.texts(catalogue.titles, np.unique(self.rows.product))

    def names(self, rows: Rows) -> str:
        """Return the first NAMED_ROWS rows as query and product id, or product id in stage 1."""
        catalogue = self.catalogue
        shown = rows.at(np.arange(min(NAMED_ROWS, len(rows))))
        names = catalogue.texts(catalogue.product_ids, shown.product)
        if (shown.query >= 0).all():
            queries = catalogue.texts(catalogue.queries, shown.query)
            names = [f"'{query}' with {name}" for query, name in zip(queries, names, strict=True)]
        return ", ".join(names) + (", ..." if len(rows) > NAMED_ROWS else "")

    def product_ids(self, unread: list[tuple[int, str]]) -> list[tuple[str, str]]:
        """Return (product id, reason) of (product number, reason)."""
        ids = self.catalogue.product_ids
        return [(str(ids[p].as_py()), reason) for p, reason in unread]
