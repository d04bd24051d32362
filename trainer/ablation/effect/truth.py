"""Measures of a model on all pairs of train queries and products, where their truth is known.

Warm pairs are of train products, without those that a train verdict holds: what the log never
showed. Cold pairs are of another split's products, which are of other styles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from genfilt.common.arrays import Bools, Floats, Integers
from genfilt.common.duckdb_file import open_file
from genfilt.common.errors import UserError
from genfilt.common.statistics import auc
from trainer.database.reading import Columns, columns
from trainer.evaluation.encode import EncodedBenchmark
from trainer.evaluation.measures import finite

SCORES = ("Q->T", "Q->I", "Q->M")
TOP = 10  # of Recall@10
PRODUCTS = """
SELECT DISTINCT p FROM products JOIN product_no USING (product_id)
WHERE split = '{split}' ORDER BY p
"""
QUERIES = """
SELECT DISTINCT q FROM clicks JOIN query_no USING (query_id) WHERE split = 'train' ORDER BY q
"""
RELEVANT = """
SELECT DISTINCT q, p FROM true_pairs JOIN query_no USING (query_id)
JOIN product_no USING (product_id)
"""
VERDICTS = "SELECT DISTINCT q, p FROM verdicts WHERE split = 'train'"


@dataclass(frozen=True)
class PairSet:
    """Products (P,) with the truth of all pairs with the queries, and the pairs to leave out."""

    products: Integers
    relevant: Bools  # (Q, P)
    left_out: Bools  # (Q, P)


@dataclass(frozen=True)
class Truth:
    """The train queries (Q,), and the warm and the cold pairs."""

    queries: Integers
    warm: PairSet
    cold: PairSet

    @property
    def products(self) -> Integers:
        """The products of both sets, sorted."""
        return np.union1d(self.warm.products, self.cold.products).astype(np.int32)


def relevant_pairs(path: Path) -> pa.Table:
    """Return the relevant pairs of a truth file as a table of query_id, product_id.

    Raises:
        UserError: the file is no DuckDB file, or has no relation `relevant` of these columns.
    """
    with open_file(str(path), read_only=True) as connection:
        try:
            return connection.sql("SELECT query_id, product_id FROM relevant").to_arrow_table()
        except duckdb.Error as error:
            raise UserError(
                f"--truth {path} must have a table relevant with query_id and product_id, as "
                "genfilt synth writes it."
            ) from error


def load_truth(connection: duckdb.DuckDBPyConnection, path: Path, split: str) -> Truth:
    """Read which pairs are relevant.

    Args:
        connection: of the genfilt database.
        path: the truth's file.
        split: whose products are the cold ones.

    Raises:
        UserError: the truth cannot be read, or the split has no product.
    """
    connection.register("true_pairs", relevant_pairs(path))
    relevant, verdicts = columns(connection, RELEVANT), columns(connection, VERDICTS)
    connection.unregister("true_pairs")
    queries = integers(columns(connection, QUERIES)["q"])
    sets = []
    for name in ("train", split):
        products = integers(columns(connection, PRODUCTS.format(split=name))["p"])
        if not len(products) or not len(queries):
            raise UserError(f"The database has no train click, or no product of split '{name}'.")
        sets.append(
            PairSet(
                products,
                pair_matrix(queries, products, *_pair(relevant)),
                pair_matrix(queries, products, *_pair(verdicts)),
            )
        )
    return Truth(queries, *sets)


@dataclass(frozen=True)
class TruthMetrics:
    """AUC over all pairs of a set, and Recall@10 of its relevant pairs, of one score."""

    auc: float | None
    recall: float | None


def measure_truth(encoded: EncodedBenchmark, truth: Truth) -> dict[str, TruthMetrics]:
    """Return the measures by "warm Q->M", "cold Q->T" and so on."""
    sides = {"Q->T": encoded.title, "Q->I": encoded.image, "Q->M": encoded.fused}
    query = encoded.query.at(truth.queries)
    found = {}
    for kind, pairs in (("warm", truth.warm), ("cold", truth.cold)):
        for name, side in sides.items():
            scores = (query @ side.at(pairs.products).T).astype(np.float64)
            found[f"{kind} {name}"] = pair_metrics(scores, pairs)
    return found


def pair_metrics(scores: Floats, pairs: PairSet) -> TruthMetrics:
    """Return the measures of scores (Q, P); Recall@10 is the mean over queries with a pair to find.

    A query's recall is the number of its relevant pairs among the first ten, divided by ten or by
    their number where that is smaller.
    """
    counted = ~pairs.left_out
    wanted = pairs.relevant & counted
    ranked = np.where(counted, scores, -np.inf)
    top = np.argsort(-ranked, axis=1, kind="stable")[:, :TOP]
    hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
    size = wanted.sum(axis=1)
    asked = size > 0
    recall = float((hits[asked] / np.minimum(size[asked], TOP)).mean()) if asked.any() else np.nan
    return TruthMetrics(finite(auc(scores[counted], wanted[counted])), finite(recall))


def pair_matrix(queries: Integers, products: Integers, q: Integers, p: Integers) -> Bools:
    """Return (Q, P): which of the pairs (q, p) are of these queries and products."""
    kept = np.isin(q, queries) & np.isin(p, products)
    matrix = np.zeros((len(queries), len(products)), dtype=np.bool_)
    matrix[np.searchsorted(queries, q[kept]), np.searchsorted(products, p[kept])] = True
    return matrix


def _pair(answer: Columns) -> tuple[Integers, Integers]:
    return integers(answer["q"]), integers(answer["p"])


def integers(values: ArrayLike) -> Integers:
    """Return an answer's column of numbers as an array."""
    return np.ascontiguousarray(values, dtype=np.int32)
