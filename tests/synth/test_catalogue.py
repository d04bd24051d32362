"""The generated catalogue as a whole: files, splits, error flags, faults."""

import duckdb
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from genfilt.synth import synthesize
from tests.synth.conftest import PRODUCTS, digests, truth_rows


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesize(60, tmp_path / name, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert truth_rows(tmp_path / "a") == truth_rows(tmp_path / "b")
    assert digests(tmp_path / "a")["products.csv"] != digests(tmp_path / "c")["products.csv"]


def test_summary_counts_what_was_written(catalogue):
    summary = catalogue.summary
    assert summary.products == PRODUCTS
    for name in ("products", "queries", "clicks", "labels"):
        assert getattr(summary, name) == catalogue.value(f"SELECT count(*) FROM {name}")
    assert summary.pictures == len(list((catalogue.folder / "images").rglob("*.jpg")))
    for count, flag in (
        ("near_duplicates", "near_duplicate"),
        ("stuffed", "stuffed"),
        ("misleading", "misleading"),
        ("falsified", "falsified"),
        ("wrong_pictures", "wrong_picture"),
        ("held_out_products", "held_out"),
    ):
        expected = catalogue.value(f"SELECT count(*) FROM facets WHERE {flag}")
        assert getattr(summary, count) == expected > 0
    assert summary.styles == catalogue.value("SELECT count(DISTINCT style) FROM facets")
    assert summary.needs == catalogue.value("SELECT count(DISTINCT need) FROM needs")
    assert summary.held_out_queries == catalogue.value("SELECT count(*) FROM needs WHERE held_out")
    brand_only = catalogue.value("SELECT count(*) FROM needs WHERE brand_only")
    assert summary.brand_only_queries == brand_only > 0


def test_ingest_takes_every_row_and_picture(catalogue):
    folder = catalogue.folder
    files = {
        name: str(folder / f"{name}.csv") for name in ("products", "queries", "clicks", "labels")
    }
    with Store() as store:
        counts = ingest(store, Sources(**files, images=folder))
    assert counts["failed"] == 0
    assert {name: counts[name] for name in files} == {
        name: getattr(catalogue.summary, name) for name in files
    }


def test_styles_are_never_divided_between_splits(catalogue):
    assert (
        catalogue.value(
            "SELECT max(n) FROM (SELECT count(DISTINCT split) n FROM facets GROUP BY style)"
        )
        == 1
    )
    shares = dict(catalogue.rows(f"SELECT split, count(*) / {PRODUCTS} FROM facets GROUP BY 1"))
    assert shares["train"] == pytest.approx(0.8, abs=0.08)
    assert shares["val"] == pytest.approx(0.1, abs=0.06)
    for table in ("clicks", "labels"):
        same = (
            f"SELECT DISTINCT t.split = p.split FROM {table} t JOIN products p USING (product_id)"
        )
        assert catalogue.rows(same) == [(True,)]
        assert catalogue.value(f"SELECT count(DISTINCT split) FROM {table}") == 3


def test_a_near_duplicate_has_a_twin_in_all_facets(catalogue):
    lonely = """
        SELECT count(*) FROM facets d WHERE near_duplicate AND NOT EXISTS (
            FROM facets f
            WHERE f.style = d.style AND f.color = d.color AND f.product_id <> d.product_id
        )"""
    assert catalogue.value(lonely) == 0


def test_electronics_tell_most_in_the_title_and_apparel_least(catalogue):
    stated = dict(
        catalogue.rows(
            "SELECT category, avg(list_contains(stated, 'color')::INT) FROM facets GROUP BY 1"
        )
    )
    assert stated["electronics"] > 0.5 > 0.3 > stated["apparel"]


def test_attack_sets_more_of_every_trap(catalogue, tmp_path):
    attacked = synthesize(PRODUCTS, tmp_path / "attacked", seed=3, attack=True, pictures=False)
    for trap in (
        "near_duplicates",
        "stuffed",
        "misleading",
        "falsified",
        "wrong_pictures",
        "brand_only_queries",
    ):
        assert getattr(attacked, trap) > 1.5 * getattr(catalogue.summary, trap), trap


def test_progress_takes_every_product(tmp_path):
    done = []
    synthesize(70, tmp_path / "tracked", pictures=False, progress=done.append)
    assert sum(done) == 70


def test_without_pictures_no_image_is_named(tmp_path):
    summary = synthesize(50, tmp_path / "plain", pictures=False)
    assert summary.pictures == 0
    assert not (tmp_path / "plain" / "images").exists()
    products = duckdb.sql(
        f"SELECT count(image) FROM '{tmp_path / 'plain' / 'products.csv'}'"
    ).fetchall()
    assert products == [(0,)]


def test_too_few_products_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"49 products is too small.*--products"):
        synthesize(49, tmp_path / "few")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"no generated catalogue.*--out"):
        synthesize(50, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_catalogue_is_replaced_and_an_interrupted_one_cleared(tmp_path):
    out = tmp_path / "again"
    synthesize(60, out, pictures=False)
    leftover = tmp_path / ".again.partial"
    leftover.mkdir()
    (leftover / "products.csv").write_text("half a line")
    synthesize(50, out, seed=9, pictures=False)
    assert len((out / "products.csv").read_text().splitlines()) == 51
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_folder_that_cannot_be_made_is_one_plain_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be made"):
        synthesize(50, tmp_path / "file" / "inside")
