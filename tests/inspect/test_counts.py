"""Every headline counts the same corrections, and held-out verdicts decide nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.inspect.counts import count_corrections, val_audit
from genfilt.inspect.export import export_positives
from genfilt.inspect.report import write_report
from genfilt.inspect.report_cards import correction_cards, title_cards
from genfilt.inspect.review import draw_sample
from genfilt.inspect.status import status
from genfilt.store.store import Store
from tests.described_shop import ask, describe, judge

KINDS = ("hoodie", "mug", "kettle", "jacket")
SPLITS = ("train", "train", "val", "test")


def shop(embedder: Embedder) -> Store:
    """Eight products of three splits, four queries; labels of pairs in each split."""
    store = Store()
    products = [
        (f"{color} {kind}", f"Acme {color} {kind}", kind, color, f"a {color} {kind}", split)
        for kind, split in zip(KINDS, SPLITS, strict=True)
        for color in ("red", "blue")
    ]
    describe(store, products)
    ask(store, [(f"q{kind}", f"red {kind}") for kind in KINDS])
    verdicts = [
        ("qhoodie", "red hoodie", 1, "train"),
        ("qmug", "red mug", 1, "val"),  # a train product with a verdict of another split
        ("qmug", "blue mug", 0, "test"),
        ("qkettle", "red kettle", 1, "val"),
        ("qkettle", "blue kettle", 0, "val"),
    ]
    judge(
        store,
        "labels",
        [
            {"query_id": q, "product_id": p, "label": str(label), "split": split}
            for q, p, label, split in verdicts
        ],
    )
    filter_pairs(store, FilterSettings(0.3, rule="paper", image_title_sigma=0.3), embedder)
    return store


def flip_held_out(store: Store) -> None:
    store.connection.execute("UPDATE labels SET label = 1 - label WHERE split <> 'train'")


def test_new_is_of_train_and_known_to_no_split(embedder: Embedder) -> None:
    with shop(embedder) as store:
        rows = store.rows(
            "SELECT query_id, product_id, split, held_out_verdict FROM query_product_corrections"
        )
        found = count_corrections(store)
        train = [row for row in rows if row[2] == "train"]
        new = [row for row in train if row[3] is None]
        assert found.pairs == len(rows)
        assert found.train == len(train) == len(new) + 2
        assert found.new == len(new)
        assert found.new_queries == len({row[0] for row in new})
        assert found.new_products == len({row[1] for row in new})
        assert 0 < len(new) < len(train) < len(rows)


def test_status_and_report_print_the_same_counts(embedder: Embedder, tmp_path: Path) -> None:
    with shop(embedder) as store:
        found = count_corrections(store)
        counts = {row["what"]: row["count"] for row in status(store)}
        assert counts["query-product corrections"] == found.pairs
        assert counts["query-product corrections, train"] == found.train
        assert counts["query-product corrections, new"] == found.new
        assert counts["image-title corrections (distinct texts)"] == found.title_pairs
        write_report(store, tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text("utf-8")
        assert f"<b>{found.new}</b><span>new query and product matches" in page
        assert f"Of {found.pairs} matches found in all, {found.train} are of train" in page
        assert f"of the {found.train} matches of train products" in page


def test_an_export_has_the_train_corrections_whatever_val_and_test_hold(
    embedder: Embedder, tmp_path: Path
) -> None:
    with shop(embedder) as store:
        count = export_positives(store, tmp_path / "a.jsonl")
        text = (tmp_path / "a.jsonl").read_text("utf-8")
        assert text.count('"genfilt"') == count_corrections(store).train
        flip_held_out(store)
        assert export_positives(store, tmp_path / "b.jsonl") == count
        assert (tmp_path / "b.jsonl").read_text("utf-8") == text
        store.connection.execute("DELETE FROM labels WHERE split <> 'train'")
        export_positives(store, tmp_path / "c.jsonl")
        assert (tmp_path / "c.jsonl").read_text("utf-8") == text


def test_draws_and_cards_do_not_depend_on_held_out_verdicts(embedder: Embedder) -> None:
    with shop(embedder) as store:

        def seen() -> list[object]:
            store.connection.execute("DELETE FROM samples")
            train = count_corrections(store).train
            return [draw_sample(store, 6), correction_cards(store, train), title_cards(store)]

        before = seen()
        flip_held_out(store)
        assert seen() == before
        store.connection.execute("DELETE FROM labels WHERE split <> 'train'")
        assert seen() == before
        titles = {str(card["title"]) for card in correction_cards(store, 1)}
        assert titles
        assert not any("kettle" in title or "jacket" in title for title in titles)


def test_val_labels_audit_the_corrections_and_test_labels_do_not(
    embedder: Embedder, tmp_path: Path
) -> None:
    with shop(embedder) as store:
        found = val_audit(store)
        assert found is not None
        assert (found.judged, found.relevant) == (3, 2)
        assert str(found).startswith("3 of all corrections have a val label and 2 of these")
        write_report(store, tmp_path / "r.html")
        assert str(found) in (tmp_path / "r.html").read_text("utf-8")
        store.connection.execute("UPDATE labels SET label = 1 - label WHERE split = 'test'")
        assert val_audit(store) == found
        store.connection.execute("DELETE FROM labels WHERE split = 'val'")
        assert val_audit(store) is None


def test_image_title_pairs_are_counted_among_train_products(embedder: Embedder) -> None:
    with shop(embedder) as store:
        rows = store.rows(
            "SELECT DISTINCT f_image, f_title FROM it_corrections c "
            "WHERE EXISTS (FROM product_no n JOIN products USING (product_id) "
            " WHERE n.f = c.f_image AND split = 'train') "
            "AND EXISTS (FROM product_no n JOIN products USING (product_id) "
            " WHERE n.f = c.f_title AND split = 'train') AND f_image <> f_title"
        )
        assert count_corrections(store).title_pairs == len(rows) > 0
        assert len(rows) < store.scalar(
            "SELECT count(*) FROM it_corrections WHERE f_image <> f_title"
        )


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_corrections_can_be_exported_and_drawn(
    embedder: Embedder, tmp_path: Path, split: str
) -> None:
    with shop(embedder) as store:
        assert export_positives(store, tmp_path / "x.csv", split=split) > 0
        assert draw_sample(store, 2, split=split)
