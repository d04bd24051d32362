"""What the rules find of the true pairs that no click or label holds.

`python benchmarks/filter_quality.py` prints, for Luma (LUMA_DIR) and for generated catalogues of
three seeds, with labels and with clicks alone, the recall at precision >= 0.95 of the paper's
rule, of the calibrated rule on cosines alone and with attributes, each on the captions of the
embedded generators, on captions of perfect type and colour, and on captions that tell gender too.
Everything is fitted on train clicks and labels; judged are all pairs of train products, of other
products and of held-out words, that no click or label holds. Facets are only compared with.
Further tables say what sigma promised and kept, whether the audit's intervals hold the true
precision, and what each rule does to the traps of the generated catalogues. Databases are kept in
--folder and figures in --out, where a run that was stopped goes on; --pictures docs draws the
pictures of docs/sigma.md from them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filter_quality_catalogues import Catalogue, Truth, described, generated, luma
from filter_quality_tables import CAPTIONS, RULES, Rows, draw, tables

from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.calibration_data import CalibrationData, load_calibration_data
from genfilt.filter.calibrated.candidates import Scorer
from genfilt.filter.calibrated.database_input import read_categories
from genfilt.filter.calibrated.fit import Fit
from genfilt.filter.calibrated.reliability import estimated_curve, model_error, train_population
from genfilt.filter.calibrated.rule import fit_rule
from genfilt.filter.precision_curve import Curve, proposed_sigma
from genfilt.store.store import Store

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
PRECISION = 0.95
AUDITED = (0.8, 0.9, 0.95)
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


@dataclass(frozen=True)
class Shop:
    """A catalogue with captions of one setting, with labels or with clicks alone."""

    catalogue: Catalogue
    setting: str
    labels: bool

    @property
    def key(self) -> dict[str, str]:
        """What names its rows."""
        evidence = "clicks and labels" if self.labels else "clicks alone"
        return {
            "catalogue": self.catalogue.name,
            "captions": self.setting,
            "evidence": evidence,
        }


def measure(shop: Shop, folder: Path, embedder: Embedder, rules: Sequence[str]) -> Rows:
    """Return one row of figures for each rule and part of the pairs."""
    truth = shop.catalogue.truth()
    with described(shop.catalogue, shop.setting, folder, labels=shop.labels) as store:
        data = load_calibration_data(store, load_corpus(store, embedder), embedder)
        known = known_pairs(store, truth)
        rows_of = places(store, data, truth)
        categories = read_categories(store, data.corpus)
    figures = []
    for rule in rules:
        started = time.perf_counter()
        score, fit = placed_scores(data, rule, rows_of)
        seconds = time.perf_counter() - started
        curve = audit_curve(fit, categories) if fit else None
        for part, chosen in truth.parts.items():
            use = chosen & ~known
            row = {**shop.key, "rule": rule, "part": part, "seconds": round(seconds, 1)}
            row |= _figures(score, truth.relevant, use) | _at_sigmas(score, truth.relevant, use)
            if fit and curve:
                row |= _beliefs(score, truth.relevant, chosen, known, fit)
                row |= _auto(score, truth.relevant, use, curve)
            if curve and part == "train products":
                trained = train_pairs(truth, known)
                row["audit"] = audit_intervals(curve, score, truth.relevant, trained)
            figures.append(row)
    return figures


def placed_scores(
    data: CalibrationData, rule: str, rows_of: tuple[np.ndarray, np.ndarray]
) -> tuple[Floats, Fit | None]:
    """Return every pair's score by id order, -1 where it is vetoed or without a text."""
    score, vetoed, fit = scores(data, rule)
    score = np.where(vetoed, -1.0, score)[np.ix_(*rows_of)]
    score[:, rows_of[1] < 0] = -1.0
    return score, fit


def train_pairs(truth: Truth, known: Bools) -> Bools:
    """Return the pairs of train products that the fit cannot know, of all words."""
    return np.broadcast_to(truth.train, known.shape) & ~known


def audit_curve(fit: Fit, categories: Sequence[str]) -> Curve:
    """Return the curve that `genfilt audit` shows; `categories` are those of the products."""
    names = [categories[f] for f in fit.pairs.f.tolist()]
    return estimated_curve(train_population(fit, names), model_error(fit.calibration))


def audit_intervals(
    curve: Curve, score: Floats, relevant: Bools, use: Bools
) -> list[list[float | None]]:
    """Return sigma, estimated precision, low, high, and what is true, its recall and count."""
    found: list[list[float | None]] = []
    for sigma in AUDITED:
        at = curve.sigma.index(sigma)
        said = [sigma, curve.precision[at], *curve.precision_ci[at]]
        found.append([*said, *at_sigma(score, relevant, use, sigma)])
    return found


def known_pairs(store: Store, truth: Truth) -> Bools:
    """Return the pairs with a click or a label, (queries, products) by id order."""
    q = {name: at for at, name in enumerate(truth.query_ids)}
    p = {name: at for at, name in enumerate(truth.product_ids)}
    known = np.zeros(truth.relevant.shape, dtype=bool)
    for query, product in store.rows(
        "SELECT query_id, product_id FROM clicks UNION SELECT query_id, product_id FROM labels"
    ):
        known[q[query], p[product]] = True
    return known


def places(store: Store, data: CalibrationData, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of queries and products in the data, by id order; -1 without a text."""
    q = dict(store.rows("SELECT query_id, q FROM query_no"))
    f = dict(store.rows("SELECT product_id, f FROM product_no"))
    rows = {number: row for row, number in enumerate(data.corpus.queries.numbers.tolist())}
    columns = {number: row for row, number in enumerate(data.corpus.features.f.tolist())}
    return (
        np.array([rows[q[name]] for name in truth.query_ids]),
        np.array([columns.get(f[name], -1) for name in truth.product_ids]),
    )


def at_precision(score: Floats, relevant: Bools, target: float) -> float:
    """Return the largest recall at a precision of `target` or more, by the best threshold."""
    order = np.argsort(-score, kind="stable")
    score, right = score[order], np.cumsum(relevant[order])
    ends = np.append(score[1:] != score[:-1], True) & (score > -1)
    good = ends & (right / np.arange(1, len(score) + 1) >= target)
    return float(right[good].max() / max(relevant.sum(), 1)) if good.any() else 0.0


def _figures(score: Floats, relevant: Bools, use: Bools) -> dict[str, Any]:
    found: dict[str, Any] = {"true pairs": int(relevant[use].sum())}
    for target in (PRECISION, 0.9):
        recall = at_precision(score[use], relevant[use], target)
        found["recall" if target == PRECISION else "recall at 0.9 precision"] = round(recall, 4)
    return found


def _at_sigmas(score: Floats, relevant: Bools, use: Bools) -> dict[str, Any]:
    return {f"sigma {sigma}": at_sigma(score, relevant, use, sigma) for sigma in SIGMAS}


def at_sigma(score: Floats, relevant: Bools, use: Bools, sigma: float) -> list[float | None]:
    """Return precision (None of no pairs), recall and number of the pairs that pass sigma."""
    passing = use & (score >= sigma)
    right, count = int((passing & relevant).sum()), int(passing.sum())
    return [
        round(right / count, 4) if count else None,
        round(right / max(int((relevant & use).sum()), 1), 4),
        count,
    ]


def calibration_error(said: Floats, relevant: Bools, use: Bools) -> float:
    """Return the mean over the used pairs of |said - relevant| of their tenth of probability."""
    place = np.minimum((said[use] * 10).astype(int), 9)
    gap = np.bincount(place, weights=said[use] - relevant[use], minlength=10)
    return round(float(np.abs(gap).sum() / max(use.sum(), 1)), 4)


def _beliefs(
    score: Floats, relevant: Bools, chosen: Bools, known: Bools, fit: Fit
) -> dict[str, Any]:
    """Return what sigma promised and what it kept."""
    found: dict[str, Any] = {}
    said = np.maximum(score, 0.0)  # a vetoed pair is said to be irrelevant
    for name, lowest in (("error", 0.0), ("error of candidates", 0.05)):
        found[name] = calibration_error(said, relevant, chosen & ~known & (said >= lowest))
    low, high = fit.calibration.base_rate_range or (fit.calibration.base_rate,) * 2
    rates = (fit.calibration.base_rate, float(relevant[:, chosen.any(axis=0)].mean()), low, high)
    found["base rate"] = [round(rate, 5) for rate in rates]
    found["bins"] = _bins(score, relevant, chosen & ~known)
    return found


def _auto(score: Floats, relevant: Bools, use: Bools, curve: Curve) -> dict[str, Any]:
    """Return what `--sigma auto` takes and keeps."""
    sigma = proposed_sigma(curve, PRECISION)[0].sigma
    kept = {} if sigma is None else {"auto": at_sigma(score, relevant, use, sigma)}
    return {"auto sigma": sigma, **kept}


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
    parser.add_argument("--captions", nargs="*", default=CAPTIONS, choices=CAPTIONS)
    parser.add_argument("--products", type=int, default=400, help="Of a catalogue under attack.")
    parser.add_argument("--plain", type=int, default=0, help="Products of plain ones, 0 for none.")
    parser.add_argument("--folder", type=Path, default=Path("artifacts/filter_quality"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/filter_quality.jsonl"))
    parser.add_argument("--pictures", type=Path, help="Draw into this folder, from --out.")
    parser.add_argument("--tables", action="store_true", help="Print what --out has.")
    options = parser.parse_args()
    if not (options.pictures or options.tables):
        measure_all(options)
    figures = read_figures(options.out)
    if options.pictures:
        draw(figures, options.pictures)
    print(tables(figures))


def read_figures(path: Path) -> Rows:
    """Return the rows that were measured."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def measure_all(options: argparse.Namespace) -> None:
    """Measure what --out does not have yet, appending each shop's rows as they come."""
    embedder = Embedder()
    options.folder.mkdir(parents=True, exist_ok=True)
    for shop in shops(options):
        done = [row for row in read_figures(options.out) if shop.key.items() <= row.items()]
        if not done:
            rows = measure(shop, options.folder, embedder, options.rules)
            with options.out.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)


def shops(options: argparse.Namespace) -> Iterator[Shop]:
    """Yield the shops; those with the embedded generators, which users have, come first."""
    folder, found = options.folder, []
    if options.luma:
        found.append(luma(Path(options.luma)))
    if options.plain:
        found += [generated(folder, seed, options.plain, attack=False) for seed in options.seeds]
    found += [generated(folder, seed, options.products, attack=True) for seed in options.seeds]
    for setting in options.captions:
        for catalogue in found:
            if setting == CAPTIONS[0] or not catalogue.name.startswith("plain"):
                yield from (Shop(catalogue, setting, labels) for labels in (True, False))


if __name__ == "__main__":
    main()
