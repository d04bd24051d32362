"""Step 5: how right the rule is at each sigma, judged by the labels and reviews of one split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus
from genfilt.store.store import Store

GRID = np.round(np.arange(0.0, 1.0, 0.01), 2)
RESAMPLES = 400
INTERVAL = (2.5, 97.5)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JudgedPairs:
    """Judged pairs of a split with their scores; equally long arrays."""

    score: Floats  # -inf where the product has no caption
    positive: npt.NDArray[np.bool_]
    q: npt.NDArray[np.int64]
    category: list[str]

    def only(self, keep: npt.NDArray[np.bool_]) -> JudgedPairs:
        """Return the kept pairs."""
        names = [name for name, kept in zip(self.category, keep, strict=True) if kept]
        return JudgedPairs(self.score[keep], self.positive[keep], self.q[keep], names)


def judged_pairs(store: Store, corpus: Corpus, split: str) -> JudgedPairs:
    """Score the labelled and reviewed pairs of a split by the paper's rule."""
    table = store.arrow(
        "SELECT v.q, v.p, any_value(f) AS f, any_value(positive) AS positive, "
        "coalesce(min(category), '') AS category "
        "FROM verdicts v JOIN product_no USING (p) JOIN products USING (product_id) "
        "WHERE v.split = ? AND source <> 'click' GROUP BY v.q, v.p ORDER BY v.q, v.p",
        [split],
    )
    if table.num_rows == 0:
        raise UserError(
            f"{store.path} has no labels or reviews in the split {split} to judge by; "
            f"ingest some with genfilt ingest --labels F."
        )
    q = table["q"].to_numpy().astype(np.int64)
    f = table["f"].fill_null(-1).to_numpy().astype(np.int64)
    return JudgedPairs(
        paper_scores(corpus, q, f),
        table["positive"].to_numpy(zero_copy_only=False),
        q,
        table["category"].to_pylist(),
    )


def paper_scores(corpus: Corpus, q: npt.NDArray[np.int64], f: npt.NDArray[np.int64]) -> Floats:
    """Return the mean of q.i and q.t for pairs of numbers, -inf where either has no text."""
    scores = np.full(len(q), -np.inf)
    known = np.isin(q, corpus.queries.numbers) & np.isin(f, corpus.features.f)
    query = corpus.queries.rows_of(q[known])
    feature = np.searchsorted(corpus.features.f, f[known])
    title = corpus.title_rows(corpus.features)[feature]
    image = corpus.image_rows(corpus.features)[feature]
    sums = corpus.i[image].astype(np.float64) + corpus.t[title]
    scores[known] = np.einsum("nd,nd->n", corpus.q[query].astype(np.float64), sums) / 2
    return scores


def audit(
    store: Store,
    corpus: Corpus,
    *,
    split: str = "train",
    target_precision: float = 0.95,
    base_rate: float | None = None,
) -> dict[str, Any]:
    """Return precision, recall and yield over sigma, with 95 % intervals.

    Precision is that of a population in which `base_rate` of the pairs are positive; without one
    it is that of the judged pairs as they are. Intervals are bootstrapped over queries.

    Raises:
        UserError: nothing is judged in the split, or all of it one way.
    """
    if not 0 < target_precision <= 1:
        raise UsageError(f"--target-precision {target_precision} is no share; give 0.95, say.")
    if base_rate is not None and not 0 < base_rate < 1:
        raise UsageError(f"--base-rate {base_rate} is no share; give a number between 0 and 1.")
    judged = judged_pairs(store, corpus, split)
    if judged.positive.all() or not judged.positive.any():
        raise UserError(
            f"All {len(judged.positive)} judged pairs of the split {split} are of one kind; "
            f"precision needs positive and negative ones."
        )
    overall = _curve(judged, base_rate)
    categories = sorted(set(judged.category) - {""})
    by_category = {
        name: _best(
            _curve(judged.only(np.array(judged.category) == name), base_rate), target_precision
        )
        for name in categories
    }
    return {
        "rule": "paper",
        "population": _population(judged, split, base_rate),
        **overall,
        "pairs": _pairs(store),
        "by_category": by_category,
        "best": _best(overall, target_precision),
        "target_precision": target_precision,
    }


def _population(judged: JudgedPairs, split: str, base_rate: float | None) -> str:
    share = float(judged.positive.mean())
    held = f"{len(judged.positive)} judged pairs of the split {split}, {share:.3f} of them positive"
    if base_rate is None:
        return f"{held}, as they are"
    return f"{held}, reweighted to a base rate of {base_rate:g}"


def _curve(judged: JudgedPairs, base_rate: float | None) -> dict[str, Any]:
    """Return precision and recall with intervals over the grid; None where nothing passes."""
    queries, index = np.unique(judged.q, return_inverse=True)
    passes = judged.score[:, None] >= GRID - 1e-6  # (N, S)
    tallies = np.zeros((4, len(queries), len(GRID)))
    for row, kind in enumerate((judged.positive, ~judged.positive)):
        np.add.at(tallies[row], index[kind], passes[kind].astype(float))
        np.add.at(tallies[row + 2], index[kind], 1.0)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(queries), np.full(len(queries), 1 / len(queries)), RESAMPLES)
    precision, recall = _rates(tallies.sum(axis=1), base_rate)
    resampled = np.einsum("rq,kqs->krs", weights.astype(float), tallies)
    low_high = [_interval(rate) for rate in _rates(resampled, base_rate)]
    return {
        "sigma": GRID.tolist(),
        "precision": _numbers(precision),
        "precision_ci": low_high[0],
        "recall": _numbers(recall),
        "recall_ci": low_high[1],
    }


def _rates(tallies: Floats, base_rate: float | None) -> tuple[Floats, Floats]:
    """Return precision and recall from (true passing, false passing, true, false), NaN for 0/0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        passing_true, passing_false, true, false = tallies
        recall, fall_out = passing_true / true, passing_false / false
        share = true / (true + false) if base_rate is None else base_rate
        right = share * recall
        precision = right / (right + (1 - share) * fall_out)
    return precision, recall


def _interval(samples: Floats) -> list[list[float | None]]:
    """Return [low, high] of each column of (R, S), over the resamples where it is defined."""
    bounds = []
    for column in samples.T:
        defined = column[np.isfinite(column)]
        ends = np.percentile(defined, INTERVAL) if len(defined) else [np.nan, np.nan]
        bounds.append(_numbers(np.asarray(ends)))
    return bounds


def _numbers(values: Floats) -> list[float | None]:
    return [round(float(value), 6) if np.isfinite(value) else None for value in values]


def _best(curve: dict[str, Any], target: float) -> dict[str, float | None]:
    """Return the sigma of the largest recall at the target precision, the lowest such sigma."""
    best: dict[str, float | None] = {"sigma": None, "precision": None, "recall": None}
    for sigma, precision, recall in zip(
        curve["sigma"], curve["precision"], curve["recall"], strict=True
    ):
        good = precision is not None and precision >= target and recall
        if good and (best["recall"] is None or recall > best["recall"]):
            best = {"sigma": sigma, "precision": precision, "recall": recall}
    return best


def _pairs(store: Store) -> list[int | None]:
    """Return how many candidates pass each sigma, None below the current filter's floor."""
    floor = store.scalar("SELECT floor FROM filters WHERE current")
    if floor is None:
        return [None] * len(GRID)
    scores = store.arrow(
        "SELECT score FROM qp_candidates JOIN filters USING (filter_id) "
        "WHERE current AND NOT vetoed ORDER BY score"
    )["score"].to_numpy()
    above = len(scores) - np.searchsorted(scores, GRID - 1e-6)
    return [int(n) if s >= floor else None for n, s in zip(above, GRID, strict=True)]
