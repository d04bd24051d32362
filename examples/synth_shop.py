"""The database that an example trains on, and the pairs that it is measured on."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from genfilt.common.statistics import Roc, bootstrap, weighted_mean

HELD_OUT = "SELECT product_id, title, image FROM products WHERE split <> 'train' ORDER BY ALL"
LABELLED = """
SELECT query_id, product_id, label = 1 AS relevant FROM labels WHERE split <> 'train'
UNION ALL SELECT query_id, product_id, true FROM clicks WHERE split <> 'train'
"""


def options(summary: str, *, epochs: int, seeds: int) -> argparse.Namespace:
    """Return an example's options, --db and GENFILT_DB among them."""
    words = argparse.ArgumentParser(description=summary)
    words.add_argument(
        "--db",
        type=Path,
        default=os.environ.get("GENFILT_DB"),
        help="a genfilt database, measured on its held-out labels; a generated shop by default",
    )
    words.add_argument("--truth", type=Path, help="the truth.duckdb that genfilt synth wrote")
    words.add_argument("--out", type=Path, default=Path("artifacts/examples"))
    words.add_argument("--products", type=int, default=600, help="of the generated shop")
    words.add_argument("--sigma", type=float, default=0.7, help="how likely a correction is")
    words.add_argument("--epochs", type=int, default=epochs)
    words.add_argument("--seeds", type=int, default=seeds, help="runs that are averaged")
    return words.parse_args()


def database(given: argparse.Namespace) -> tuple[Path, Path | None]:
    """Return the database of the options, and the truth that it is measured by, if there is one."""
    if given.db is not None:
        return Path(given.db), given.truth
    return make_shop(given.out, given.products, given.sigma), given.out / "shop" / "truth.duckdb"


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
    """Queries, the products outside train, and which of their pairs are relevant.

    With the truth all pairs are judged, without it those with a held-out label or click; where
    there are clicks alone, a pair without one counts as irrelevant.
    """

    queries: list[str]
    titles: list[str]
    images: list[str | None]
    relevant: NDArray[np.bool_]  # (Q, P)
    judged: NDArray[np.bool_]  # (Q, P)

    @classmethod
    def read(cls, db: Path, truth: Path | None) -> Held:
        """Read the held-out side of a database."""
        with duckdb.connect(str(db), read_only=True) as connection:
            queries = connection.sql("SELECT query_id, query FROM queries ORDER BY ALL").fetchall()
            products = connection.sql(HELD_OUT).fetchall()
            labelled = connection.sql(LABELLED).fetchall()
        pairs = {(q, p): bool(relevant) for q, p, relevant in labelled}
        if truth is not None:
            with duckdb.connect(str(truth), read_only=True) as connection:
                right = set(connection.sql("SELECT query_id, product_id FROM relevant").fetchall())
            pairs = {(q, p): (q, p) in right for q, _ in queries for p, _, _ in products}
        source = "of the truth" if truth is not None else "with a held-out label or click"
        if truth is None and all(pairs.values()):
            source = "of which those without a held-out click count as irrelevant"
            pairs = {(q, p): (q, p) in pairs for q, _ in queries for p, _, _ in products}
        judged = np.array([[(q, p) in pairs for p, _, _ in products] for q, _ in queries])
        relevant = np.array(
            [[pairs.get((q, p), False) for p, _, _ in products] for q, _ in queries]
        )
        kept = relevant.any(axis=1) if relevant.size else np.zeros(len(queries), dtype=bool)
        if not kept.any():
            sys.exit(f"{db} has no relevant pair outside train; ingest labels or clicks of val.")
        print(
            f"Measured on {kept.sum()} queries, {len(products)} products outside train and "
            f"{judged[kept].sum()} pairs {source}; {relevant.sum()} are relevant.\n"
        )
        return cls(
            [query for (_, query), one in zip(queries, kept, strict=True) if one],
            [title for _, title, _ in products],
            [image for _, _, image in products],
            relevant[kept],
            judged[kept],
        )

    def compare(self, scores: Mapping[str, Sequence[NDArray[np.float32]]]) -> None:
        """Print AUC and recall in the top 10 by name, and what each adds to the first.

        scores: each name's (Q, P), one a seed. Figures are means over seeds, and what is added
        has a 95 % interval over queries.
        """
        query = np.nonzero(self.judged)[0]
        truth = self.relevant[self.judged]
        curves = {
            name: [Roc(values[self.judged].astype(np.float64), truth) for values in runs]
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
        ranked = np.where(self.judged, scores, -np.inf)
        best = np.argsort(-ranked, axis=1, kind="stable")[:, :10]
        found = np.take_along_axis(self.relevant, best, axis=1).sum(axis=1)
        return found / np.minimum(self.relevant.sum(axis=1), 10)


def _added(value: float, interval: tuple[float, float]) -> str:
    return f"{value:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
