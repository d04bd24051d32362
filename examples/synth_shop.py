"""A generated shop that examples train on, and the truth that they are measured by."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.metrics import Roc, bootstrap, weighted_mean

HELD_OUT = "SELECT product_id, title, image FROM products WHERE split <> 'train' ORDER BY ALL"
CORRECTED = """
SELECT count(*), count(r.product_id)
FROM query_product_corrections c JOIN products p USING (product_id)
LEFT JOIN truth.relevant r ON r.query_id = c.query_id AND r.product_id = c.product_id
WHERE p.split = 'train'
"""


def genfilt(*words: str) -> None:
    """Run a genfilt command, shown as it runs."""
    print("$ genfilt", *words, flush=True)
    subprocess.run([str(Path(sys.executable).with_name("genfilt")), *words], check=True)


def make_shop(folder: Path, products: int, sigma: float) -> Path:
    """Return a database of a generated shop, its pairs of probability sigma on corrected."""
    db = folder / "genfilt.duckdb"
    if not db.exists():
        part, shop = folder / "part.duckdb", folder / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        to = ("--db", str(part))
        genfilt("synth", "--products", str(products), "--out", str(shop))
        files = ("products", "queries", "clicks", "labels")
        given = [f"--{name}={shop}/{name}.csv" for name in files]
        genfilt("ingest", *given, "--images", str(shop), *to)
        genfilt("extract", *to)
        genfilt("filter", "--rule", "calibrated", "--sigma", str(sigma), *to)
        part.replace(db)
    return db


@dataclass(frozen=True)
class Held:
    """Every query, the products that no training row shows, and which pairs are right in truth."""

    queries: list[str]
    titles: list[str]
    images: list[str]
    relevant: NDArray[np.bool_]  # (Q, P)

    @classmethod
    def read(cls, db: Path) -> Held:
        """Read the held-out side of a database that `make_shop` made, and say what it corrects."""
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{db}' AS db (READ_ONLY)")
            connection.execute(f"ATTACH '{db.parent}/shop/truth.duckdb' AS truth (READ_ONLY)")
            connection.execute("USE db")
            queries = connection.sql("SELECT query_id, query FROM queries ORDER BY ALL").fetchall()
            products = connection.sql(HELD_OUT).fetchall()
            right = set(
                connection.sql("SELECT query_id, product_id FROM truth.relevant").fetchall()
            )
            (found,) = connection.sql(CORRECTED).fetchall()
        relevant = np.array([[(q, p) in right for p, _, _ in products] for q, _ in queries])
        asked = relevant.any(axis=1)
        print(f"{found[0]} corrections of train products, {found[1]} of them right in truth.")
        print(
            f"Measured on {asked.sum()} queries, {len(products)} products outside train and "
            f"{relevant.sum()} pairs that are right in truth.\n"
        )
        return cls(
            [query for (_, query), kept in zip(queries, asked, strict=True) if kept],
            [title for _, title, _ in products],
            [image for _, _, image in products],
            relevant[asked],
        )

    def compare(self, scores: Mapping[str, Sequence[NDArray[np.float32]]]) -> None:
        """Print AUC and recall in the top 10 by name, and what each adds to the first.

        scores: each name's (Q, P), one a seed. Figures are means over seeds, and what is added
        has a 95 % interval over queries.
        """
        query = np.repeat(np.arange(len(self.queries)), self.relevant.shape[1])
        truth = self.relevant.ravel()
        curves = {
            name: [Roc(values.ravel().astype(np.float64), truth) for values in runs]
            for name, runs in scores.items()
        }
        recalls = {
            name: np.mean([self._recall(values) for values in runs], axis=0)
            for name, runs in scores.items()
        }

        def auc(name: str, weights: NDArray[np.float64] | None = None) -> float:
            return float(np.mean([curve.auc(weights) for curve in curves[name]]))

        first = next(iter(scores))
        lines = [("", "AUC", "added", "recall@10", "added")]
        for name, recall in recalls.items():
            cells = [name, f"{auc(name):.3f}", "", f"{recall.mean():.3f}", ""]
            if name != first:
                apart = bootstrap(lambda w, n=name: auc(n, w) - auc(first, w), query, samples=200)
                cells[2] = _added(auc(name) - auc(first), apart)
                more = recall - recalls[first]
                cells[4] = _added(more.mean(), bootstrap(weighted_mean(more), np.arange(len(more))))
            lines.append(tuple(cells))
        for name, *cells in lines:
            print(
                f"{name:22}"
                + "".join(
                    f"{cell:>{width}}" for cell, width in zip(cells, (8, 26, 11, 26), strict=True)
                )
            )

    def _recall(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        found = np.take_along_axis(self.relevant, best, axis=1).sum(axis=1)
        return found / np.minimum(self.relevant.sum(axis=1), 10)


def _added(value: float, interval: tuple[float, float]) -> str:
    return f"{value:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
