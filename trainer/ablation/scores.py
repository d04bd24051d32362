"""The scores that a run gave to a benchmark's pairs, kept so that all else can be read off them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Floats
from trainer.baselines.baseline import pairs_of, tabulated
from trainer.database.known_pairs import Integers
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.evaluate import Scorer

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
        folder.mkdir(parents=True, exist_ok=True)
        names = list(self.values)
        np.savez_compressed(
            folder / FILE,
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
        """Return the scores as `measure` asks for them."""
        return {k: tabulated(self.query, self.product, found) for k, found in self.values.items()}

    @property
    def widest(self) -> str:
        """The measure that reads the most of a product."""
        return next(name for name in WIDEST if name in self.values)
