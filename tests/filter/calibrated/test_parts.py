"""The calibrated rule on catalogues that are read in parts and fitted on a sample."""

from __future__ import annotations

import json

import numpy as np
import pytest

from genfilt.common.arrays import Rows
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder
from genfilt.filter import join_work
from genfilt.filter.calibrated import calibration_data, candidates, rule, sampling
from genfilt.filter.filter import filter_pairs
from genfilt.filter.rules import audit_filter
from genfilt.store.store import Store
from tests.filter.calibrated.clicked_shop import CORRECTIONS, SETTINGS, filter_anew, shop

TABLE = "SELECT q, f, q_i, q_t, cosine, score, vetoed, reasons FROM qp_candidates ORDER BY q, f"


def test_parts_of_any_size_give_the_same_table(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        whole = store.rows(TABLE)
        monkeypatch.setattr(candidates, "PRODUCTS_AT_A_TIME", 17)
        monkeypatch.setattr(candidates, "PAIRS_AT_A_TIME", 5)
        monkeypatch.setattr(join_work, "BLOCK_ROWS", 34)
        filter_pairs(store, SETTINGS, embedder)
        assert len(whole) > 100
        assert store.rows(TABLE) == whole


def test_a_sample_fits_a_rule_that_scores_all_products(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        all_pairs = _fitted_pairs(store, embedder)
        products = store.scalar("SELECT count(*) FROM features")
        monkeypatch.setattr(calibration_data, "MAX_FITTED_PRODUCTS", products // 2)
        filter_pairs(store, SETTINGS, embedder)
        found = store.rows(CORRECTIONS)
        sampled = _fitted_pairs(store, embedder)
        record = json.loads(store.scalar("SELECT fit FROM filter_fits ORDER BY filter_id DESC"))
    assert set(record["words"]) == {"unknown", "qualifying"}
    # The estimates are of all pairs, whatever share of them was fitted on.
    assert sampled == pytest.approx(all_pairs, rel=0.01)
    assert len(found) > 30
    right = [
        all(word in f"{title} {caption}".split() for word in str(query).split())
        for query, title, caption, *_ in found
    ]
    assert sum(right) >= 0.9 * len(right)


def test_a_sample_of_queries_forecasts_the_corrections_of_all(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        whole = audit_filter(store, embedder)
        monkeypatch.setattr(sampling, "MAX_PAIRS", 1000)
        monkeypatch.setattr(sampling, "MAX_QUERIES", 20)
        filter_anew(store, embedder)
        found = audit_filter(store, embedder)
    at = whole.curve.sigma.index(0.5)
    assert _pairs_of(found.population) == pytest.approx(_pairs_of(whole.population), rel=0.01)
    assert "by a sample of them" in found.population
    assert "by a sample" not in whole.population
    assert found.pairs[at] == pytest.approx(whole.pairs[at], rel=0.2)
    before = [
        each.as_dict()["forecast"]["batches"][0]["false_negatives_before"]  # type: ignore[index]
        for each in (found, whole)
    ]
    assert before[0] == pytest.approx(before[1], rel=0.2)


def test_products_that_were_read_unlike_count_for_all(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the products without a picture, which have few clicks, a third is read."""
    with _half_pictured() as store:
        store.connection.execute(
            "DELETE FROM clicks WHERE product_id IN (FROM alone) AND hash(query_id) % 3 > 0;"
            "DELETE FROM labels WHERE product_id IN (FROM alone)"
        )
        filter_pairs(store, SETTINGS, embedder)
        whole = audit_filter(store, embedder)
        _read_only(store, monkeypatch, "f NOT IN (FROM alone_numbers) OR f % 3 = 0")
        filter_pairs(store, SETTINGS, embedder)
        found = audit_filter(store, embedder)
    assert _pairs_of(found.population) == _pairs_of(whole.population)
    known = [each.as_dict()["forecast"]["known_share"] for each in (found, whole)]  # type: ignore[index]
    assert known[0] == pytest.approx(known[1], rel=0.15)


@pytest.mark.parametrize("left_out", ["split = 'train'", "true"])
def test_products_of_a_kind_that_was_not_read_leave_the_share_of_the_others(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """Half of the products have no picture; none of them, or no train one, is in the sample."""
    with _half_pictured() as store:
        filter_pairs(store, SETTINGS, embedder)
        whole = audit_filter(store, embedder)
        _read_only(
            store,
            monkeypatch,
            f"f NOT IN (SELECT f FROM alone_numbers JOIN product_no USING (f) "
            f"JOIN products USING (product_id) WHERE {left_out})",
        )
        filter_anew(store, embedder)
        found = audit_filter(store, embedder)
        scored = store.scalar(
            "SELECT count(*) FROM qp_candidates SEMI JOIN alone_numbers USING (f)"
        )
    assert scored > 0
    assert _pairs_of(found.population) == _pairs_of(whole.population)
    assert "by a sample of them" in found.population
    assert found.base_rate == pytest.approx(whole.base_rate, rel=0.15)


def _half_pictured() -> Store:
    store = shop()
    store.connection.execute(
        "CREATE TEMP TABLE alone AS SELECT product_id FROM products WHERE hash(product_id) % 2 = 0;"
        "DELETE FROM captions WHERE image_key IN "
        "(SELECT image_key FROM products SEMI JOIN alone USING (product_id))"
    )
    return store


def _read_only(store: Store, monkeypatch: pytest.MonkeyPatch, condition: str) -> None:
    """Let a fit read only the products whose number f meets the condition."""
    store.connection.execute(
        "CREATE TEMP TABLE alone_numbers AS "
        "SELECT DISTINCT f FROM product_no SEMI JOIN alone USING (product_id)"
    )
    wanted = [f for (f,) in store.rows(f"SELECT f FROM features WHERE {condition}")]

    def rows(_: Store, corpus: Corpus) -> Rows:
        return np.flatnonzero(np.isin(corpus.features.f, wanted))

    monkeypatch.setattr(rule, "fitted_rows", rows)
    monkeypatch.setattr(calibration_data, "fitted_rows", rows)


def _fitted_pairs(store: Store, embedder: Embedder) -> float:
    return _pairs_of(audit_filter(store, embedder).population)


def _pairs_of(population: str) -> float:
    return float(population.split()[1].replace(",", ""))
