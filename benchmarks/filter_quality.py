"""What the rules find of the true pairs that no click or label holds.

`python benchmarks/filter_quality.py` prints, for Luma (LUMA_DIR) and for generated catalogues of
three seeds, the recall at precision >= 0.95 of the paper's rule, of the calibrated rule on cosines
alone and with attributes, each on the captions of the embedded generators, on captions of perfect
type and colour, and on captions that tell gender too. Everything is fitted on train clicks and
labels; judged are all pairs of the catalogue, of every split, that no click or label holds. Facets
are only compared with. Further tables say what sigma promised and kept, and what each rule does to
the traps of the generated catalogues. All figures also go to --out, from which --pictures docs
draws the pictures of docs/sigma.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filter_quality_catalogues import Catalogue, Truth, described, generated, luma
from filter_quality_tables import CAPTIONS, RULES, draw, tables

from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.calibration_data import CalibrationData, load_calibration_data
from genfilt.filter.calibrated.candidates import Scorer
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.reliability import estimated_curve, train_population
from genfilt.filter.calibrated.rule import fit_rule
from genfilt.filter.precision_curve import best_sigma
from genfilt.store.store import Store

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
PRECISION = 0.95
SIGMAS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def scores(
    data: CalibrationData, rule: str
) -> tuple[Floats, Bools, Fit | None]:  # (queries, features) each
    """Return every pair's score, and which pairs are vetoed."""
    size = (len(data.requested), len(data.product_values))
    if rule == "paper":
        fused = data.products.image.astype(np.float64) + data.products.title
        return data.queries.vectors @ fused.T / 2, np.zeros(size, dtype=bool), None
    fit = fit_rule(data, attributes=rule != "calibrated")
    scorer = Scorer(fit.calibration, data, fit.unseen, fit.offsets, np.arange(size[1]))
    q, f = np.divmod(np.arange(size[0] * size[1]), size[1])
    score, vetoed = scorer.scores(q, f)
    # Pairs of one step of the monotone map keep the order of their linear scores.
    linear = scorer.left.astype(np.float64) @ scorer.right.astype(np.float64).T
    return score.reshape(size) + 1e-9 * np.tanh(linear / 50), vetoed.reshape(size), fit


def measure(
    catalogue: Catalogue,
    setting: str,
    embedder: Embedder,
    rules: Sequence[str] = RULES,
    *,
    labels: bool = True,
) -> list[dict[str, Any]]:
    """Return one row of figures for each rule and part of the pairs."""
    truth = catalogue.truth()
    with described(catalogue, setting, labels=labels) as store:
        data = load_calibration_data(store, load_corpus(store, embedder), embedder)
        known = _known(store, truth)
        rows_of = _places(store, data, truth)
    figures = []
    for rule in rules:
        started = time.perf_counter()
        score, vetoed, fit = scores(data, rule)
        score = np.where(vetoed, -1.0, score)[np.ix_(*rows_of)]
        score[:, rows_of[1] < 0] = -1.0  # products without a caption
        seconds = time.perf_counter() - started
        threshold = at_precision(score[~known], truth.relevant[~known])[1]
        for part, chosen in truth.parts.items():
            use = chosen & ~known
            figures.append(
                {
                    "catalogue": catalogue.name,
                    "captions": setting,
                    "rule": rule,
                    "part": part,
                    **_figures(score, truth.relevant, use, threshold),
                    **_at_sigmas(score, truth.relevant, use),
                    **(_beliefs(score, truth.relevant, chosen, known, fit) if fit else {}),
                    "seconds": round(seconds, 1),
                }
            )
    return figures


def _known(store: Store, truth: Truth) -> Bools:
    q = {name: at for at, name in enumerate(truth.query_ids)}
    p = {name: at for at, name in enumerate(truth.product_ids)}
    known = np.zeros(truth.relevant.shape, dtype=bool)
    for query, product in store.rows(
        "SELECT query_id, product_id FROM clicks UNION SELECT query_id, product_id FROM labels"
    ):
        known[q[query], p[product]] = True
    return known


def _places(store: Store, data: CalibrationData, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    q = dict(store.rows("SELECT query_id, q FROM query_no"))
    f = dict(store.rows("SELECT product_id, f FROM product_no"))
    rows = {number: row for row, number in enumerate(data.corpus.queries.numbers.tolist())}
    columns = {number: row for row, number in enumerate(data.corpus.features.f.tolist())}
    return (
        np.array([rows[q[name]] for name in truth.query_ids]),
        np.array([columns.get(f[name], -1) for name in truth.product_ids]),
    )


def at_precision(score: Floats, relevant: Bools) -> tuple[float, float]:
    """Return the largest recall at a precision of PRECISION or more, and its threshold."""
    order = np.argsort(-score, kind="stable")
    score, right = score[order], np.cumsum(relevant[order])
    ends = np.append(score[1:] != score[:-1], True) & (score > -1)
    good = ends & (right / np.arange(1, len(score) + 1) >= PRECISION)
    if not good.any():
        return 0.0, float("inf")
    best = np.flatnonzero(good)[np.argmax(right[good])]
    return float(right[best] / max(relevant.sum(), 1)), float(score[best])


def _figures(score: Floats, relevant: Bools, use: Bools, threshold: float) -> dict[str, Any]:
    passing = use & (score >= threshold)
    return {
        "true pairs": int(relevant[use].sum()),
        "recall": round(at_precision(score[use], relevant[use])[0], 4),
        "passing": int(passing.sum()),
        "passing right": int((passing & relevant).sum()),
    }


def _at_sigmas(score: Floats, relevant: Bools, use: Bools) -> dict[str, Any]:
    return {f"sigma {sigma}": _at(score, relevant, use, sigma) for sigma in SIGMAS}


def _at(score: Floats, relevant: Bools, use: Bools, sigma: float) -> list[float | None]:
    """Return precision (None of no pairs), recall and number of the pairs that pass sigma."""
    passing = use & (score >= sigma)
    right, count = int((passing & relevant).sum()), int(passing.sum())
    return [
        round(right / count, 4) if count else None,
        round(right / max(int((relevant & use).sum()), 1), 4),
        count,
    ]


def _beliefs(
    score: Floats, relevant: Bools, chosen: Bools, known: Bools, fit: Fit
) -> dict[str, Any]:
    """Return what sigma promised and what it kept."""
    found: dict[str, Any] = {}
    said = np.maximum(score, 0.0)  # a vetoed pair is said to be irrelevant
    for name, lowest in (("error", 0.0), ("error of candidates", 0.05)):
        use = chosen & ~known & (said >= lowest)
        place = np.minimum((said[use] * 10).astype(int), 9)
        gap = np.bincount(place, weights=said[use] - relevant[use], minlength=10)
        found[name] = round(float(np.abs(gap).sum() / max(use.sum(), 1)), 4)
    best = best_sigma(estimated_curve(train_population(fit)), PRECISION)
    found["auto sigma"] = best.sigma
    if best.sigma is not None:
        found["auto"] = _at(score, relevant, chosen & ~known, best.sigma)
    found["base rate"] = [round(fit.calibration.base_rate, 5), round(float(relevant.mean()), 5)]
    found["bins"] = _bins(score, relevant, chosen & ~known)
    return found


def _bins(score: Floats, relevant: Bools, use: Bools) -> list[list[float]]:
    use = use & (score >= 0)
    place = np.minimum((score[use] * 10).astype(int), 9)
    mass = np.bincount(place, minlength=10)
    said = np.bincount(place, weights=score[use], minlength=10)
    seen = np.bincount(place, weights=relevant[use].astype(float), minlength=10)
    return [
        [round(said[at] / mass[at], 4), round(seen[at] / mass[at], 4), int(mass[at])]
        for at in range(10)
        if mass[at]
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--luma", type=Path, default=os.environ.get("LUMA_DIR"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13])
    parser.add_argument("--rules", nargs="*", default=RULES, choices=RULES)
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--clicks-alone", action="store_true", help="Leave the labels out.")
    parser.add_argument("--out", type=Path, default=Path("artifacts/filter_quality.json"))
    parser.add_argument("--pictures", type=Path, help="Draw into this folder, from --out.")
    options = parser.parse_args()
    if options.pictures:
        figures = json.loads(options.out.read_text("utf-8"))
        draw(figures, options.pictures)
    else:
        figures = measure_all(options)
    print(tables(figures))


def measure_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every catalogue and setting; what is measured is kept in --out as it comes."""
    embedder, figures = Embedder(), []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        catalogues = [luma(Path(options.luma))] if options.luma else []
        catalogues += [generated(Path(folder), seed, options.products) for seed in options.seeds]
        for catalogue in catalogues:
            for setting in CAPTIONS:
                labels = not options.clicks_alone
                figures += measure(catalogue, setting, embedder, options.rules, labels=labels)
                options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


if __name__ == "__main__":
    main()
