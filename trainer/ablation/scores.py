"""The scores of a benchmark's pairs by one run, stored, so that every measure can be recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Floats, Integers
from genfilt.common.atomic import replaced
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import Scorer, pairs_of, tabulated

FILE = "scores.npz"
WIDEST = ("Q->M", "Q->T+Q->I", "Q->T")  # the measure that reads the most of a product, first


@dataclass(frozen=True)
class Scores:
    """Scores (N,) of pairs (N,), sorted by query and product, by measure."""

    query: Integers
    product: Integers
    values: dict[str, Floats]

    @classmethod
    def of(cls, scorers: dict[str, Scorer], benchmark: Benchmark) -> Scores:
        """Score all pairs of a benchmark."""
        queries, products = pairs_of(benchmark)
        return cls(queries, products, {k: score(queries, products) for k, score in scorers.items()})

    def save(self, folder: Path) -> None:
        """Keep the scores in a run's folder."""
        names = list(self.values)
        with replaced(folder / FILE) as part, part.open("wb") as file:
            np.savez_compressed(
                file,
                query=self.query,
                product=self.product,
                names=np.array(names),
                values=np.stack([self.values[name] for name in names]),
            )

    @classmethod
    def load(cls, folder: Path) -> Scores:
        """Return what `save` kept."""
        with np.load(folder / FILE) as kept:
            values = dict(zip(kept["names"].tolist(), kept["values"], strict=True))
            return cls(kept["query"], kept["product"], values)

    def scorers(self) -> dict[str, Scorer]:
        """Return the scores as look-ups by pair, by measure."""
        return {k: tabulated(self.query, self.product, found) for k, found in self.values.items()}

    @property
    def widest(self) -> str:
        """The measure that reads the most of a product."""
        return next(name for name in WIDEST if name in self.values)
