"""What the calibrated rule finds by logs of few clicks, without labels.

`python benchmarks/few_clicks.py --seeds 11 12 13 --luma "$LUMA_DIR"` keeps one, two, three and all
clicks of each train query of generated catalogues (and of Luma), fits the rule on each such log and
judges what it finds among the train products by the whole truth: a table of means (least to most)
over the catalogues. Each log's figures are kept in --out, where a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filter_quality import (
    at_sigma,
    audit_curve,
    audit_intervals,
    calibration_error,
    known_pairs,
    placed_scores,
    places,
    train_pairs,
)
from filter_quality_catalogues import Catalogue, described, generated, luma
from filter_quality_tables import CAPTIONS, RULES

from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.calibration_data import load_calibration_data
from genfilt.filter.calibrated.database_input import read_categories
from genfilt.filter.calibrated.reliability import train_population
from genfilt.filter.forecast import forecast_of
from genfilt.store.store import Store

ALL = 0  # clicks of a query that are kept: every one
LOG = "SELECT query_id, product_id, clicks FROM clicks WHERE split = 'train' ORDER BY ALL"
SIGMAS = (0.9, 0.5)


def thin(store: Store, kept: int, seed: int) -> None:
    """Leave at most so many clicks of each train query, drawn at random without replacement."""
    rng = np.random.default_rng(seed)
    events: dict[str, list[str]] = {}
    for query, product, clicks in store.rows(LOG):
        events.setdefault(query, []).extend([product] * clicks)
    rows = []
    for query, products in events.items():
        drawn = rng.permutation(np.array(products))[:kept]
        for product, clicks in zip(*np.unique(drawn, return_counts=True), strict=True):
            row = {"query_id": query, "product_id": str(product), "clicks": int(clicks)}
            rows.append({**row, "split": "train"})
    store.connection.execute("DELETE FROM clicks WHERE split = 'train'")
    store.insert("clicks", pa.Table.from_pylist(rows))


def measure(catalogue: Catalogue, kept: int, folder: Path, embedder: Embedder) -> dict[str, Any]:
    """Return the figures of one log."""
    truth = catalogue.truth()
    with described(catalogue, CAPTIONS[0], folder, labels=False) as store:
        if kept != ALL:
            thin(store, kept, kept)
        data = load_calibration_data(store, load_corpus(store, embedder), embedder)
        known = known_pairs(store, truth)
        rows = places(store, data, truth)
        categories = read_categories(store, data.corpus)
    score, fit = placed_scores(data, RULES[2], rows)
    assert fit is not None
    use = train_pairs(truth, known)
    audits = audit_intervals(audit_curve(fit, categories), score, truth.relevant, use)
    relevant = truth.relevant & truth.train
    return {
        "catalogue": catalogue.name,
        "kept": kept,
        "forecast": forecast_of([fit], [train_population(fit)], data.log).known_share,
        "known": round(float((relevant & known).sum() / relevant.sum()), 4),
        "found": [at_sigma(score, truth.relevant, use, sigma) for sigma in SIGMAS],
        "error": calibration_error(score, truth.relevant, use & (score >= 0.05)),
        "audits": [[low, high, true] for _, _, low, high, true, *_ in audits],
    }


def held(figures: list[dict[str, Any]]) -> str:
    """Return how many audits' intervals hold the true precision."""
    every = [each for row in figures for each in row["audits"] if None not in each]
    return f"{sum(low <= true <= high for low, high, true in every)} of {len(every)}"


def table(figures: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    head = (
        "| clicks a query | logs | relevant pairs known: forecast | true | found at 0.9 | right "
        "| found at 0.5 | right | calibration error from 0.05 on | audits that hold |"
    )
    lines = [head, "|---|" + "---:|" * 9]
    for kept in sorted({row["kept"] for row in figures}, key=lambda kept: kept or 1000):
        mine = [row for row in figures if row["kept"] == kept]
        cells = [_mean(mine, name) for name in ("forecast", "known")]
        for at in range(len(SIGMAS)):
            found = [row["found"][at] for row in mine]
            cells += [_span([each[2] for each in found], 0)]
            cells += [_span([each[0] for each in found if each[0] is not None], 2)]
        cells += [_mean(mine, "error"), held(mine)]
        lines.append(f"| {kept or 'all'} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(rows: list[dict[str, Any]], name: str) -> str:
    return _span([row[name] for row in rows], 2)


def _span(values: list[float], digits: int) -> str:
    if not values:
        return "none"
    mean, low, high = (f"{x:,.{digits}f}" for x in (np.mean(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"


def catalogues(given: argparse.Namespace) -> Iterator[Catalogue]:
    """Yield what is asked for."""
    if given.luma:
        yield luma(given.luma)
    for seed in given.seeds:
        yield generated(given.folder, seed, given.products, attack=given.attack)


def main() -> None:
    """Measure what is missing and print the table of all that --out has."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    words.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13])
    words.add_argument("--luma", type=Path)
    words.add_argument("--products", type=int, default=1000)
    words.add_argument("--attack", action="store_true")
    words.add_argument("--clicks", type=int, nargs="+", default=[1, 2, 3, ALL], help="0 for all")
    words.add_argument("--folder", type=Path, default=Path("artifacts/few_clicks"))
    words.add_argument("--out", type=Path, default=Path("artifacts/few_clicks.jsonl"))
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    given.out.touch()
    embedder = Embedder()
    for catalogue in catalogues(given):
        for kept in given.clicks:
            done = [json.loads(line) for line in given.out.read_text("utf-8").splitlines()]
            key = {"catalogue": catalogue.name, "kept": kept, "products": given.products}
            if not any(key.items() <= row.items() for row in done):
                row = measure(catalogue, kept, given.folder, embedder) | key
                with given.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    print(table([json.loads(line) for line in given.out.read_text("utf-8").splitlines()]))


if __name__ == "__main__":
    main()
