"""The demo's last screen: what was found, what is forecast, and what it brought, by the truth.

    python examples/demo_results.py --truth shop/truth.duckdb --run with --plain without

The truth of a generated shop (genfilt synth) says of every pair whether it is relevant. It judges
the corrections of train products, and both models' scores of every query with every product of a
split that no mask, fit or choice has seen.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import numpy as np

from genfilt.common.arrays import Bools, Floats, Integers, Vectors
from genfilt.common.statistics import Roc, bootstrap, weighted_mean
from genfilt.filter.forecast import stored_forecast
from genfilt.store.store import Store
from trainer.ablation.effect.truth import pair_matrix, relevant_pairs
from trainer.config import MINILM
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.reading import columns, open_database
from trainer.evaluation.encode import encode_numbers
from trainer.evaluation.scorers import NumberedVectors, Scorer
from trainer.evaluation.untrained import sentence_embeddings
from trainer.training import checkpoint

TOP = 10
OWN = "Q->M, trained with GenFilt"
CORRECTIONS = """
SELECT count(*) AS found, count(*) FILTER (t.query_id IS NOT NULL) AS correct
FROM query_product_corrections c LEFT JOIN true_pairs t USING (query_id, product_id)
WHERE c.split = 'train' AND c.held_out_verdict IS NULL
"""
KNOWN = "SELECT count(DISTINCT (q, p)) FROM verdicts WHERE split = 'train' AND positive"
PRODUCTS = """
SELECT DISTINCT p FROM products JOIN product_no USING (product_id)
WHERE split = '{split}' ORDER BY p
"""
RELEVANT = """
SELECT DISTINCT q, p FROM true_pairs JOIN query_no USING (query_id)
JOIN product_no USING (product_id)
"""


@dataclass(frozen=True)
class Judged:
    """Queries (Q,) and products (P,) of a split, and which of their pairs are relevant (Q, P)."""

    queries: Integers
    products: Integers
    relevant: Bools

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection, split: str) -> Judged:
        """Read the products of a split and the queries that one of them answers."""
        pairs = columns(connection, RELEVANT)
        q, p = (np.ascontiguousarray(pairs[name], dtype=np.int32) for name in "qp")
        answer = columns(connection, PRODUCTS.format(split=split))
        products = np.ascontiguousarray(answer["p"], dtype=np.int32)
        queries = np.unique(q[np.isin(p, products)])
        return cls(queries, products, pair_matrix(queries, products, q, p))

    def table(self, score: Scorer) -> Floats:
        """Return the scores (Q, P) of all pairs."""
        q, p = np.meshgrid(self.queries, self.products, indexing="ij")
        return score(q.ravel(), p.ravel()).reshape(q.shape)

    def recalls(self, scores: Floats) -> Floats:
        """Return each query's share of relevant products in its first ten, of ten at most."""
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        hits = np.take_along_axis(self.relevant, best, axis=1).sum(axis=1)
        return np.asarray(hits / np.minimum(self.relevant.sum(axis=1), TOP), dtype=np.float64)


@dataclass(frozen=True)
class Row:
    """A score's AUC and Recall@10, and how far the model is above it, with 95 % intervals."""

    name: str
    auc: float
    recall: float
    auc_gap: tuple[float, float, float] | None = None
    recall_gap: tuple[float, float, float] | None = None


def compare(judged: Judged, tables: Mapping[str, Floats]) -> list[Row]:
    """Return a row for each score (Q, P); the first is the model that the others are held against.

    Differences are paired: whole queries are drawn anew, the same for both scores.
    """
    truth = judged.relevant.ravel()
    query = np.repeat(np.arange(len(judged.queries)), len(judged.products))
    rocs = {name: Roc(scores.ravel(), truth) for name, scores in tables.items()}
    recalls = {name: judged.recalls(scores) for name, scores in tables.items()}
    own, *others = tables
    rows = [Row(own, rocs[own].auc(), float(recalls[own].mean()))]
    for name in others:

        def apart(weights: Floats | None = None, other: Roc = rocs[name]) -> float:
            return rocs[own].auc(weights) - other.auc(weights)

        more = recalls[own] - recalls[name]
        ends = bootstrap(weighted_mean(more), np.arange(len(more)))
        rows.append(
            Row(
                name,
                rocs[name].auc(),
                float(recalls[name].mean()),
                (apart(), *bootstrap(apart, query, samples=500)),
                (float(more.mean()), *ends),
            )
        )
    return rows


def trained(run: Path, catalogue: Catalogue, judged: Judged) -> dict[str, Floats]:
    """Return the tables Q->M and Q->T of a run's last stage."""
    model = checkpoint.load_model(checkpoint.latest_stage(run))
    found = encode_numbers(model, catalogue, judged.queries, judged.products)

    def product(side: NumberedVectors) -> Floats:
        left: Vectors = found.query.at(judged.queries)
        return (left @ side.at(judged.products).T).astype(np.float64)

    return {"Q->M": product(found.fused), "Q->T": product(found.title)}


@dataclass(frozen=True)
class Results:
    """The three results, as --format json prints them."""

    known: int
    found: int
    correct: int
    forecast: dict[str, object] | None
    split: str
    queries: int
    products: int
    relevant: int
    scores: list[Row]

    @classmethod
    def measure(cls, given: argparse.Namespace) -> Results:
        """Measure the database and the runs of the options."""
        with open_database(given.db) as connection:
            connection.register("true_pairs", relevant_pairs(given.truth))
            found, correct = connection.sql(CORRECTIONS).fetchall()[0]
            ((known,),) = connection.sql(KNOWN).fetchall()
            catalogue = load_catalogue(connection)
            judged = Judged.read(connection, given.split)
        with Store(given.db, read_only=True) as store:
            forecast = stored_forecast(store)
        own, plain = (trained(run, catalogue, judged) for run in (given.run, given.plain))
        untrained = sentence_embeddings(catalogue, judged.queries, judged.products)
        tables = {
            OWN: own["Q->M"],
            "Q->M, trained without it": plain["Q->M"],
            "Q->T, titles alone": own["Q->T"],
            f"untrained {MINILM}": judged.table(untrained),
        }
        return cls(
            known=known,
            found=found,
            correct=correct,
            forecast=forecast,
            split=given.split,
            queries=len(judged.queries),
            products=len(judged.products),
            relevant=int(judged.relevant.sum()),
            scores=compare(judged, tables),
        )

    def lines(self) -> list[str]:
        """Return the results as they are shown."""
        share = f" ({self.correct / self.found:.0%})" if self.found else ""
        shown = [
            f"1. Corrections: the log holds {self.known:,} relevant pairs of train products;",
            f"   genfilt found {self.found:,} more, of which {self.correct:,} are right{share}.",
            "",
        ]
        if self.forecast is not None:
            shown += [*forecast_lines(self.forecast), ""]
        shown += [
            f"3. Training: {self.queries} queries with all {self.products} products of split "
            f"{self.split}, of which",
            f"   {self.relevant:,} pairs are relevant.",
            "",
            f"   {'':28}{'AUC':>6}{'model above by':>26}{'Recall@10':>12}{'model above by':>26}",
        ]
        shown += [
            f"   {row.name:28}{row.auc:6.3f}{gap(row.auc_gap):>26}{row.recall:12.3f}"
            f"{gap(row.recall_gap):>26}"
            for row in self.scores
        ]
        return [*shown, "", *map(self.verdict, ("auc", "recall"))]

    def verdict(self, measure: str) -> str:
        """Return in words which scores the model is above, below and level with."""
        sides: dict[str, list[str]] = {"above": [], "below": [], "not distinguishable from": []}
        for row in self.scores[1:]:
            _, low, high = getattr(row, f"{measure}_gap")
            side = "above" if low > 0 else "below" if high < 0 else "not distinguishable from"
            sides[side].append(row.name.split(",")[0] if row.name.startswith("Q->T") else row.name)
        parts = [f"{side} {', '.join(names)}" for side, names in sides.items() if names]
        name = {"auc": "AUC", "recall": "Recall@10"}[measure]
        return f"   By {name} the model is {'; '.join(parts)}."


def forecast_lines(forecast: dict[str, object]) -> list[str]:
    """Return the forecast in words."""
    batches = forecast["batches"]
    assert isinstance(batches, list)
    lines = [
        f"2. Forecast, from the log alone: it holds {forecast['known_share']:.0%} of the relevant "
        "pairs, so that",
    ]
    return lines + [
        f"   a row of a batch of {batch['rows']} has {batch['false_negatives_before']:.2f} false "
        f"negatives, and {batch['false_negatives_after']:.2f} after the corrections."
        for batch in batches
    ]


def gap(values: tuple[float, float, float] | None) -> str:
    """Return how far the model is above, with its interval; nothing in the model's own row."""
    return "" if values is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*values)


def main() -> None:
    """Print the results."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("GENFILT_DB", "artifacts/demo/genfilt.duckdb")
    words.add_argument("--db", type=Path, default=Path(default))
    words.add_argument("--truth", type=Path, required=True, help="truth.duckdb of genfilt synth")
    words.add_argument("--run", type=Path, required=True, help="a run with the corrections")
    words.add_argument("--plain", type=Path, required=True, help="the same run without them")
    words.add_argument("--split", default="test")
    words.add_argument("--format", choices=("table", "json"), default="table")
    given = words.parse_args()
    results = Results.measure(given)
    text = json.dumps(asdict(results)) if given.format == "json" else "\n".join(results.lines())
    print(text)


if __name__ == "__main__":
    main()
