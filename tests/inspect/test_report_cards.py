from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.features.embed import Embedder, KeptVectors
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import audit_filter
from genfilt.inspect import report_cards
from genfilt.inspect.counts import count_corrections
from genfilt.inspect.report import CARDS_ON_A_PAGE, write_report
from genfilt.inspect.report_sections import generator_health, query_gains
from genfilt.store.store import Store
from tests.described_shop import ask, describe, described_shop, judge
from tests.filter.calibrated.clicked_shop import SETTINGS
from tests.filter.calibrated.clicked_shop import shop as clicked_shop
from tests.inspect.html_page import Page


@pytest.fixture
def shop(embedder: Embedder) -> Store:
    store = described_shop()
    store.connection.execute("UPDATE products SET category = 'Apparel'")
    label = {"query_id": "q1", "product_id": "p1", "label": "1", "split": "train"}
    judge(store, "labels", [label])
    filter_pairs(store, FilterSettings(0.6, 0.3), embedder)
    return store


def many(embedder: Embedder) -> Store:
    """Return a shop with 64 corrections."""
    store = Store()
    kinds = ("hoodie", "jacket", "shirt", "mug", "kettle", "lamp", "sofa", "tent")
    products = [
        (f"p{n}", f"Acme {k} {n}", k, "red", f"a red {k}", "train") for n, k in enumerate(kinds)
    ]
    describe(store, products)
    ask(store, [(f"q{n}", f"red {k}") for n, k in enumerate(kinds)])
    filter_pairs(store, FilterSettings(0.1), embedder)
    return store


def test_all_corrections_are_on_the_page_the_first_ones_shown(
    tmp_path: Path, embedder: Embedder
) -> None:
    with many(embedder) as store:
        corrections = store.rows("SELECT score FROM query_product_corrections ORDER BY 1 DESC")
        write_report(store, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    cards = [a for t, a in page.tags if t == "article" and "data-score" in a]
    assert [float(str(a["data-score"])) for a in cards] == [
        pytest.approx(score, abs=1e-4) for (score,) in corrections
    ]
    assert [n for n, a in enumerate(cards) if "hidden" not in a] == list(range(CARDS_ON_A_PAGE))
    assert f"{len(corrections)} of the {len(corrections)} matches of train products" in page.said


def test_only_what_is_shown_is_held_in_memory(tmp_path: Path) -> None:
    """The reasons of all corrections are larger than the memory allowed, those shown are not."""
    with Store(tmp_path / "m.duckdb") as store:
        describe(store, [(f"p{n}", f"mug {n}", "mug", None, None, "train") for n in range(300)])
        ask(store, [(f"q{n}", f"cup {n}") for n in range(600)])
        filter_pairs(store, FilterSettings(0.0, -1.0), Embedder("static"))
        store.connection.execute(
            "UPDATE qp_candidates SET reasons = rpad(md5(q || '-' || f), 1000, md5(f || '-' || q))"
        )
    with Store(tmp_path / "m.duckdb", read_only=True) as store:
        corrections = count_corrections(store).train
        store.connection.execute("SET memory_limit = '120MB'")
        store.connection.execute("SET max_temp_directory_size = '0KB'")
        cards = report_cards.correction_cards(store, corrections)
    assert corrections > 100_000
    assert len(cards) == report_cards.CARDS


def test_of_too_many_corrections_a_part_spread_over_the_scores_is_shown(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_cards, "CARDS", 20)
    monkeypatch.setattr(report_cards, "PICTURES", 6)
    read: list[str | None] = []
    monkeypatch.setattr(report_cards, "thumbnail", read.append)
    with many(embedder) as store:
        corrections = store.rows("SELECT score FROM query_product_corrections ORDER BY 1 DESC")
        cards = report_cards.correction_cards(store, len(corrections))
    shown = [float(str(card["score"])) for card in cards]
    assert len(shown) == 20
    assert shown == sorted(shown, reverse=True)
    assert sum(score <= corrections[len(corrections) * 4 // 5][0] for score in shown) >= 3
    assert sum(score >= corrections[len(corrections) // 5][0] for score in shown) >= 3
    assert len(read) == 6


def test_the_report_counts_as_status_does(shop: Store, tmp_path: Path) -> None:
    write_report(shop, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    counts = count_corrections(shop)
    assert f"{counts.pairs} matches found in all, {counts.train} are of train products" in page.said
    gains = query_gains(shop)
    assert gains is not None
    assert sum(each.found for each in gains.most) == counts.new
    assert sum(each.before for each in gains.classes) == gains.queries == 4
    assert sum(each.after for each in gains.classes) == gains.queries
    # q1 and q2 are one query in two spellings: p1 is known to be relevant to both.
    assert gains.mean_before == pytest.approx(2 / 4)
    assert gains.mean_after == pytest.approx((2 + counts.new) / 4)
    health = generator_health(shop)
    assert (health.titles, health.without_kind) == (5, 1)
    assert "20 % of the 5 titles that were read name no kind of product" in page.said
    assert ("option", {}) in page.tags
    assert "Apparel" in page.said


def test_a_card_shows_what_train_knows_of_the_query_alone(shop: Store) -> None:
    judge(shop, "labels", [{"query_id": "q1", "product_id": "p2", "label": "1", "split": "val"}])
    count = count_corrections(shop).train
    cards = report_cards.correction_cards(shop, count)
    assert cards
    shop.connection.execute("UPDATE labels SET label = 1 - label WHERE split = 'val'")
    assert report_cards.correction_cards(shop, count) == cards
    known = {str(card["known"]) for card in cards if card["query_id"] == "q1"}
    assert known == {"['Acme red cotton hoodie']"}


def test_what_the_filter_forecasts_is_on_the_page(tmp_path: Path, embedder: Embedder) -> None:
    with clicked_shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        write_report(store, tmp_path / "r.html")
        found = audit_filter(store, KeptVectors(embedder.name)).forecast
    said = Page(tmp_path / "r.html").said
    assert found is not None
    batches = found["batches"]
    assert isinstance(batches, list)
    for batch in batches:
        assert f"{batch['rows']} {batch['false_negatives_before']:.2f}" in said
    assert f"{100 * float(str(found['known_share'])):.0f} % are known by clicks and labels" in said
    assert "the estimated probability that a match is right" in said
