"""A filter whose inputs are those of the current one does nothing; any other runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.calibrated.fit_record import audit_of
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import stored_record
from genfilt.store.store import Store
from tests.described_shop import judge
from tests.filter.calibrated.clicked_shop import SETTINGS, shop

AGAIN = replace(SETTINGS)
PAIRS = "FROM qp_candidates ORDER BY ALL"


@pytest.mark.parametrize("rule", ["paper", "calibrated"])
def test_nothing_is_read_where_nothing_changed(
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: str,
) -> None:
    with shop() as store:
        settings = FilterSettings(0.6, rule=rule)
        made = filter_pairs(store, settings, embedder)
        before = store.rows(PAIRS)
        monkeypatch.setattr("genfilt.filter.filter.load_corpus", None)  # raises when called
        again = filter_pairs(store, settings, embedder)
        assert "nothing changed since the last filter" in capsys.readouterr().err
        assert store.rows(PAIRS) == before != []
        assert again == replace(made, joined_queries=0, joined_features=0)


CHANGES = {
    "a click": "INSERT INTO clicks SELECT query_id, product_id, 2, 'train' FROM "
    "(SELECT query_id, product_id FROM queries, products) "
    "ANTI JOIN clicks USING (query_id, product_id) LIMIT 1",
    "more clicks": "UPDATE clicks SET clicks = clicks + 1 WHERE product_id = "
    "(SELECT min(product_id) FROM clicks)",
    "a label": "UPDATE labels SET label = 1 - label WHERE product_id = "
    "(SELECT min(product_id) FROM labels)",
    "an attribute": "UPDATE attributes SET color = 'red' WHERE title_key = "
    "(SELECT min(title_key) FROM attributes)",
    "a category": "UPDATE products SET category = 'x' WHERE product_id = "
    "(SELECT min(product_id) FROM products)",
    "no current filter": "UPDATE filters SET current = false",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_data_is_filtered(embedder: Embedder, change: str) -> None:
    with shop() as store:
        first = filter_pairs(store, SETTINGS, embedder)
        store.connection.execute(CHANGES[change])
        assert filter_pairs(store, SETTINGS, embedder).filter_id == first.filter_id + 1


def test_a_review_other_settings_or_another_model_are_filtered(embedder: Embedder) -> None:
    with shop() as store:
        made = [filter_pairs(store, SETTINGS, embedder).filter_id]
        product = store.scalar("SELECT min(product_id) FROM products WHERE split = 'train'")
        judge(store, "reviews", [{"query_id": "q-mug", "product_id": product, "verdict": 0}])
        for settings, model in (
            (SETTINGS, embedder),
            # The newest of several reviewers counts, so that the same answer again may overrule.
            (AGAIN, embedder),
            (replace(SETTINGS, base_rate=0.1), embedder),
            (SETTINGS, Embedder("static")),
        ):
            if settings is AGAIN:
                store.connection.execute('UPDATE reviews SET "at" = "at" + INTERVAL 1 DAY')
            made.append(filter_pairs(store, settings, model).filter_id)
        assert made == [1, 2, 3, 4, 5]


def test_an_option_that_the_rule_does_not_heed_is_named(
    embedder: Embedder, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop() as store:
        filter_pairs(store, FilterSettings(0.6, rule="paper", base_rate=0.1), embedder)
    assert "--base-rate is for the calibrated rule" in capsys.readouterr().err


def test_more_than_allowed_is_refused_before_the_join(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop() as store:
        made = filter_pairs(store, SETTINGS, embedder)
        said = capsys.readouterr().err
        assert f"about {_expected(store):,} unknown pairs of train products are expected" in said
        assert _expected(store) == pytest.approx(made.new_corrections, rel=0.35)
        monkeypatch.setattr("genfilt.filter.filter._find", None)
        few = replace(SETTINGS, max_pairs=_expected(store) // 2)
        with pytest.raises(UserError, match=r"are expected to reach the floor, and --max-pairs"):
            filter_pairs(store, few, embedder)
        assert store.scalar("SELECT filter_id FROM filters WHERE current") == made.filter_id


def _expected(store: Store) -> int:
    record = stored_record(store)
    assert record is not None
    audit = audit_of(record, 0.95)
    pairs = audit.pairs[audit.curve.sigma.index(SETTINGS.lowest)]
    assert pairs is not None
    return pairs
