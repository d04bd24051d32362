"""Everything that a stage reads from the database: catalogue, masks, rows, correction counts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.atomic import replaced_folder
from trainer.batches.mask import Masks
from trainer.config import FitConfig
from trainer.database.catalogue import (
    Catalogue,
    Rows,
    load_catalogue,
    load_rows,
    stored_catalogue,
    stored_rows,
)
from trainer.database.known_pairs import (
    CorrectionCounts,
    KnownPairs,
    count_new_corrections,
    load_known_pairs,
    stored_known_pairs,
)
from trainer.database.reading import open_database
from trainer.process_group import is_main, on_main

TEXTS_AT_ONCE = 1 << 14
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
    def read(cls, db: Path, config: FitConfig, folder: Path | None = None) -> StageData:
        """Read a genfilt database for a stage.

        Args:
            db: the database.
            config: of the stage.
            folder: keeps the arrays as files; None for memory.

        Raises:
            UserError: it cannot be opened, or has no row for the stage.
        """
        with open_database(db) as connection:
            catalogue = load_catalogue(connection, folder)
            rows, without_picture = load_rows(connection, config.stage, catalogue, folder)
            genfilt = "genfilt" not in config.without
            known = load_known_pairs(connection, genfilt=genfilt, folder=folder)
            counts = count_new_corrections(connection) if genfilt else CorrectionCounts()
        masks = _masks(known, catalogue, config)
        return cls(catalogue, masks, rows, without_picture, counts)

    @classmethod
    @contextmanager
    def shared(cls, db: Path, config: FitConfig, folder: Path) -> Iterator[StageData]:
        """Read a genfilt database once for all processes, which map the arrays from one folder.

        Args:
            db: the database, which the first process alone opens.
            config: of the stage.
            folder: of the arrays, for as long as the block lasts.

        Raises:
            UserError: as `read`, and where the folder cannot be written or is not seen by all.
        """

        def write() -> tuple[list[tuple[str, str]], CorrectionCounts]:
            for left in folder.parent.glob(f".{folder.name}.*"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            with replaced_folder(folder) as part:
                read = cls.read(db, config, part)
            return read.without_picture, read.corrections

        without_picture, counts = on_main(write)
        catalogue = stored_catalogue(folder)
        masks = _masks(stored_known_pairs(folder), catalogue, config)
        try:
            yield cls(catalogue, masks, stored_rows(folder), without_picture, counts)
        finally:
            if is_main():
                shutil.rmtree(folder, ignore_errors=True)

    def texts(self) -> Iterator[list[str]]:
        """Yield the queries and titles of all rows, each once, TEXTS_AT_ONCE at a time."""
        catalogue, rows = self.catalogue, self.rows
        sources = ((catalogue.queries, rows.query), (catalogue.titles, rows.product))
        for source, numbers in sources:
            distinct = np.unique(numbers[numbers >= 0])
            for start in range(0, len(distinct), TEXTS_AT_ONCE):
                yield catalogue.texts(source, distinct[start : start + TEXTS_AT_ONCE])

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


def _masks(known: KnownPairs, catalogue: Catalogue, config: FitConfig) -> Masks:
    if config.pairs is not None:
        known = known.corrected_by(Path(config.pairs))
    return Masks(known, catalogue.contents, drop=config.drop_corrections)
