"""Which facet of a need a trained model overlooks on Luma, and what a judge of facets would reach.

`python benchmarks/facet_errors.py $LUMA_DIR --db D.duckdb --run run-0`: AUC on val's labels of all
positives against those negatives that miss one facet alone, for each of the model's scores, over
all pairs and by query; then the AUC of judges who know some facets for certain and nothing else.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from luma_truth import FACETS, lacking, read_rows

from genfilt.common.statistics import auc
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.encode import encode
from trainer.evaluation.metrics import auc_by_group
from trainer.training.checkpoint import latest_stage, load_model

Bools = npt.NDArray[np.bool_]


def missed(luma: Path, catalogue: Catalogue, benchmark: Benchmark) -> Bools:
    """Return (N, 4): which facet a label's query names and its product lacks."""
    queries, products = read_rows(luma / "queries.csv"), read_rows(luma / "products.csv")
    query = {row["query"]: place for place, row in enumerate(queries)}
    product = {row["product_id"]: place for place, row in enumerate(products)}
    return lacking(queries, products)[
        [query[text] for text in catalogue.texts(catalogue.queries, benchmark.query)],
        [product[each] for each in catalogue.texts(catalogue.product_ids, benchmark.product)],
    ]


def report(name: str, scores: npt.NDArray[np.float64], benchmark: Benchmark, miss: Bools) -> None:
    """Print a row: all labels, over all pairs and by query, then each facet alone."""
    positive, query = benchmark.positive, benchmark.query.astype(np.int64)
    cells = [auc(scores, positive), np.nanmean(auc_by_group(scores, positive, query))]
    for facet in range(len(FACETS)):
        alone = ~positive & miss[:, facet] & (miss.sum(1) == 1)
        kept = positive | alone
        cells.append(auc(scores[kept], positive[kept]))
        cells.append(np.nanmean(auc_by_group(scores[kept], positive[kept], query[kept])))
    print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


def main() -> None:
    """Print both tables as Markdown."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("luma", type=Path)
    options.add_argument("--db", type=Path, required=True)
    options.add_argument("--run", type=Path, required=True)
    given = options.parse_args()
    with open_database(given.db) as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, given.db.parent / "candidates", "val")
    miss = missed(given.luma, catalogue, benchmark)
    counts = [int((~benchmark.positive & miss[:, f] & (miss.sum(1) == 1)).sum()) for f in range(4)]
    names = [f"{facet} ({count})" for facet, count in zip(FACETS, counts, strict=True)]
    print("| score | all | by query | " + " | ".join(f"{name} | by query" for name in names) + " |")
    print("|---|" + "---|" * (2 + 2 * len(FACETS)))
    encoded = encode(load_model(latest_stage(given.run)), catalogue, benchmark)
    for name, scorer in encoded.scorers().items():
        report(name, scorer(benchmark.query, benchmark.product), benchmark, miss)
    print("\n| knows | AUC |\n|---|---|")
    for size in range(1, len(FACETS) + 1):
        for known in combinations(range(len(FACETS)), size):
            words = ", ".join(FACETS[facet] for facet in known)
            judged = -miss[:, list(known)].sum(1).astype(np.float64)
            print(f"| {words} | {auc(judged, benchmark.positive):.3f} |")


if __name__ == "__main__":
    main()
