from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus, load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.audit import JudgedPairs, audit_judged_pairs, judged_curve, judged_pairs
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.paper import PaperRule
from genfilt.filter.precision_curve import GRID
from genfilt.store.store import Store
from tests.described_shop import described_shop, judge

LABELS = [
    {"query_id": "q1", "product_id": "p1", "label": "1", "split": "train"},
    {"query_id": "q1", "product_id": "p3", "label": "0", "split": "train"},
    {"query_id": "q3", "product_id": "p3", "label": "1", "split": "train"},
    {"query_id": "q3", "product_id": "p2", "label": "0", "split": "train"},
    {"query_id": "q4", "product_id": "p5", "label": "1", "split": "train"},
    {"query_id": "q4", "product_id": "p4", "label": "1", "split": "val"},
]


def audit(
    store: Store,
    corpus: Corpus,
    split: str = "train",
    target: float = 0.95,
    base_rate: float | None = None,
) -> Any:
    return audit_judged_pairs(store, PaperRule(store, corpus), split, target, base_rate).as_dict()


def labelled_shop() -> Store:
    store = described_shop()
    judge(store, "labels", LABELS)
    return store


def test_precision_and_recall_are_those_of_scikit_learn(embedder: Embedder) -> None:
    with labelled_shop() as store:
        filter_pairs(store, FilterSettings(0.6), embedder)
        corpus = load_corpus(store, embedder)
        judged = judged_pairs(store, PaperRule(store, corpus), "train")
        found = audit(store, corpus)
    # The kettle has no caption and is scored by its title alone.
    assert judged.score[-1] == pytest.approx(1.0, abs=1e-6)
    for place in (10, 40, 60, 80):
        passes = judged.score >= GRID[place]
        assert found["recall"][place] == pytest.approx(recall_score(judged.positive, passes))
        assert found["precision"][place] == pytest.approx(precision_score(judged.positive, passes))
    assert found["pairs"][59] is None  # below the floor nobody counted
    assert found["pairs"][60] > 0
    assert "5 judged pairs of the split train" in found["population"]
    best = found["best"]
    assert best["precision"] >= 0.95
    assert best["recall"] == 1


def test_a_base_rate_reweights_precision_and_leaves_recall(embedder: Embedder) -> None:
    with labelled_shop() as store:
        filter_pairs(store, FilterSettings(0.6), embedder)
        corpus = load_corpus(store, embedder)
        plain, rare = audit(store, corpus), audit(store, corpus, base_rate=0.01)
    assert rare["recall"] == plain["recall"]
    assert rare["precision"][0] == pytest.approx(0.01)  # at sigma 0 all pairs pass
    assert plain["precision"][0] == pytest.approx(3 / 5)
    assert rare["precision"][60] == 1  # no negative pair reaches 0.6


def test_intervals_hold_the_estimate_and_narrow_with_more_queries() -> None:
    widths = []
    for queries in (20, 500):
        rng = np.random.default_rng(0)
        positive = rng.random(queries * 10) < 0.5
        score = np.where(positive, 0.6, 0.4) + rng.normal(0, 0.15, queries * 10)
        judged = JudgedPairs(score, positive, np.repeat(np.arange(queries), 10), [""] * len(score))
        curve = judged_curve(judged, None)
        low, high = curve.precision_ci[50]
        assert low < curve.precision[50] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_other_splits_are_not_read(embedder: Embedder) -> None:
    with labelled_shop() as store:
        filter_pairs(store, FilterSettings(0.6), embedder)
        corpus = load_corpus(store, embedder)
        before = audit(store, corpus)
        judge(
            store,
            "labels",
            [{"query_id": "q1", "product_id": "p2", "label": "0", "split": "val"}],
        )
        assert audit(store, corpus) == before
        with pytest.raises(UserError, match="no labels or reviews in the split test"):
            audit(store, corpus, split="test")


def test_a_shop_of_clicks_alone_reads_what_to_add(embedder: Embedder) -> None:
    with described_shop() as store:
        judge(store, "clicks", [{"query_id": "q1", "product_id": "p1"}])
        filter_pairs(store, FilterSettings(0.6), embedder)
        corpus = load_corpus(store, embedder)
        with pytest.raises(UserError, match=r"genfilt review; clicks alone do not suffice"):
            audit(store, corpus)
        with pytest.raises(UserError, match=r"--labels F; clicks alone"):  # review is of train
            audit(store, corpus, "val")


def test_a_review_overrules_the_label(embedder: Embedder) -> None:
    with labelled_shop() as store:
        filter_pairs(store, FilterSettings(0.6), embedder)
        corpus = load_corpus(store, embedder)
        before = audit(store, corpus)["precision"][60]
        judge(store, "reviews", [{"query_id": "q1", "product_id": "p1", "verdict": 0}])
        assert audit(store, corpus)["precision"][60] < before


def test_options_are_checked(embedder: Embedder) -> None:
    with labelled_shop() as store:
        corpus = load_corpus(store, embedder)
        with pytest.raises(UsageError, match="--target-precision must be above 0"):
            audit(store, corpus, target=95)
        with pytest.raises(UsageError, match="--base-rate must be between 0 and 1, got 2"):
            audit(store, corpus, base_rate=2)
