"""What corrections could bring at most: small trained with every relevant pair as a correction.

`python benchmarks/perfect_masks.py --db synth-1.duckdb --truth shop-1/truth.duckdb --out runs`
trains small with eq. 4 three times, without corrections, with the database's own, and with
all that are true, and prints val's AUC and Recall@10 of Q->M. `--luma $LUMA_DIR` has Luma's truth;
`--epochs 8 --epochs 8` leaves stage 3 out, so that clicks and corrections are all that is known.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from luma_truth import lacking, read_rows

from trainer.config import Ablation, preset
from trainer.database.known_pairs import KnownPairs, SparseRows, load_known_pairs
from trainer.database.reading import columns
from trainer.evaluation.evaluate import evaluate
from trainer.training import fit, stage_data


def luma_pairs(luma: Path) -> pa.Table:
    """Return Luma's relevant pairs as a table of query_id, product_id."""
    queries, products = read_rows(luma / "queries.csv"), read_rows(luma / "products.csv")
    query, product = np.nonzero(~lacking(queries, products).any(axis=-1))
    return pa.table(
        {
            "query_id": [queries[place]["query_id"] for place in query],
            "product_id": [products[place]["product_id"] for place in product],
        }
    )


def with_all(
    connection: duckdb.DuckDBPyConnection, known: KnownPairs, given: argparse.Namespace
) -> KnownPairs:
    """Return corrections that hold each relevant (q, f) of the truth."""
    if given.truth:
        connection.execute(f"ATTACH IF NOT EXISTS '{given.truth}' AS truth (READ_ONLY)")
    else:
        connection.register("luma", luma_pairs(given.luma))
    relevant = "truth.relevant" if given.truth else "luma"
    pairs = columns(
        connection,
        f"SELECT DISTINCT q, f FROM {relevant} JOIN query_no USING (query_id) "
        "JOIN product_no USING (product_id) ORDER BY q, f",
    )
    q, f = (np.asarray(pairs[name], dtype=np.int32) for name in ("q", "f"))
    return replace(known, query_product=SparseRows.from_sorted(q, f))


def train(kind: str, given: argparse.Namespace) -> dict[str, float]:
    """Train three stages with a kind of corrections and return Q->M's measures."""

    def chosen(connection: duckdb.DuckDBPyConnection, *, genfilt: bool = True) -> KnownPairs:
        known = load_known_pairs(connection, genfilt=genfilt)
        return with_all(connection, known, given) if kind == "perfect" else known

    stage_data.load_known_pairs = chosen
    out = given.out / kind
    without: tuple[Ablation, ...] = ("genfilt",) if kind == "without" else ()
    for stage, epochs in enumerate(given.epochs or (8, 4, 2), start=1):
        config = replace(
            preset("small", stage),
            seed=given.seed,
            epochs=epochs,
            batch_size=given.batch_size,
            cross_query=given.cross_query,
            without=without,
        )
        fit.fit(config, given.db, out)
    measured = evaluate(out, given.db).scores["Q->M"]
    return {name: measured.figure(name) or 0.0 for name in ("auc", "recall@10")}


def main() -> None:
    """Print one row for each kind of corrections."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--db", type=Path, required=True)
    truth = options.add_mutually_exclusive_group(required=True)
    truth.add_argument("--truth", type=Path)
    truth.add_argument("--luma", type=Path)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--epochs", type=int, action="append", help="of each stage that is run")
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--cross-query", action="store_true", help="with QMX")
    given = options.parse_args()
    rows = ["| corrections | AUC | Recall@10 |", "|---|---|---|"]
    for kind in ("without", "found", "perfect"):
        found = train(kind, given)
        rows.append(f"| {kind} | {found['auc']:.3f} | {found['recall@10']:.3f} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
