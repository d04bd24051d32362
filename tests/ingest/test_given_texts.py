"""Attributes and captions of the user's own come in by product and stay when extract runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.extract.captions import caption_pictures
from genfilt.extract.missing import forget_given
from genfilt.extract.titles import extract_attributes
from genfilt.generators.fitted import fitted_lexicon, fitted_neighbours
from genfilt.generators.protocols import FIELDS
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import COLUMNS, Sources
from genfilt.store.store import Store
from tests.shop_files import write_csv

CURRENT = """
SELECT product_id, core_word, color, caption FROM products
LEFT JOIN current_attributes USING (title_key) LEFT JOIN current_captions USING (image_key)
ORDER BY product_id
"""


def given(folder: Path, shop: Sources) -> Sources:
    """Facets of three products, one of them empty, and captions of two."""
    facets = [("p2", "pullover", "midnight"), ("p3", "", "scarlet"), ("p5", "", "")]
    texts = [("p2", "a  dark pullover"), ("p5", "a kettle")]
    return replace(
        shop,
        attributes=write_csv(folder / "facets.csv", "product_id,type,color", facets),
        captions=write_csv(folder / "captions.csv", "product_id,caption", texts),
        aliases={"core_word": ("type",)},
    )


def test_the_columns_are_the_fields_of_attributes() -> None:
    assert COLUMNS["attributes"] == ("product_id", *FIELDS)


def test_extract_reads_what_was_not_given(store: Store, shop: Sources, tmp_path: Path) -> None:
    counts = ingest(store, given(tmp_path, shop))
    assert (counts["attributes"], counts["captions"], counts["failed"]) == (2, 2, 0)
    titles = extract_attributes(store, fitted_lexicon(store))
    pictures = caption_pictures(store, fitted_neighbours(store))
    assert (titles.done, pictures.done) == (2, 2)  # p1 and p4 are one title, p1 and p3 one picture
    found = {row[0]: row[1:] for row in store.rows(CURRENT)}
    assert found["p2"] == ("pullover", "midnight", "a dark pullover")
    assert found["p3"][:2] == (None, "scarlet")
    assert found["p1"][0].lower() == "hoodie"  # read by the lexicon
    assert found["p5"][0].lower() == "kettle"
    assert found["p5"][2] == "a kettle"
    assert store.scalar("SELECT count(*) FROM current_attributes") == 4
    assert store.scalar("SELECT count(*) FROM current_captions") == 4


def test_another_reader_and_a_fit_anew_leave_them(
    store: Store, shop: Sources, tmp_path: Path
) -> None:
    ingest(store, shop)
    extract_attributes(store, fitted_lexicon(store))
    ingest(store, given(tmp_path, Sources()))  # also over what was read before
    extract_attributes(store, fitted_lexicon(store, refit=True))
    found = {row[0]: row[1:3] for row in store.rows(CURRENT)}
    assert found["p2"] == ("pullover", "midnight")


def test_they_are_read_anew_when_asked(store: Store, shop: Sources, tmp_path: Path) -> None:
    ingest(store, given(tmp_path, shop))
    extract_attributes(store, fitted_lexicon(store))
    forget_given(store)
    extract_attributes(store, fitted_lexicon(store))
    found = {row[0]: row[1:3] for row in store.rows(CURRENT)}
    assert [value.lower() for value in found["p2"]] == ["hoodie", "navy"]


def test_of_two_contents_for_one_title_the_first_stays(
    store: Store, shop: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("p4", "crimson"), ("p1", "red"), ("p9", "blue")]
    path = write_csv(tmp_path / "facets.csv", "product_id,color", rows)
    counts = ingest(store, replace(shop, attributes=path))
    assert store.rows("SELECT color FROM current_attributes") == [("crimson",)]
    assert "1 titles have several contents" in capsys.readouterr().err
    assert (counts["attributes"], counts["failed"]) == (1, 1)
    assert store.rows("SELECT item_key, reason FROM failures") == [
        ("product p9", "unknown product")
    ]


def test_a_caption_needs_a_picture(store: Store, shop: Sources, tmp_path: Path) -> None:
    products = write_csv(tmp_path / "bare.csv", "product_id,title", [("b1", "Bare Mug")])
    captions = write_csv(tmp_path / "c.csv", "product_id,caption", [("b1", "a mug")])
    ingest(store, Sources(products=products, captions=captions))
    assert store.rows("SELECT item_key, reason FROM failures") == [("product b1", "no picture")]


def test_a_file_without_a_field_or_with_two_contents_is_refused(
    store: Store, shop: Sources, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "facets.csv", "product_id,colour", [("p1", "red")])
    with pytest.raises(UserError, match="has no column of core_word, material"):
        ingest(store, replace(shop, attributes=path))
    path = write_csv(tmp_path / "two.csv", "product_id,color", [("p1", "red"), ("p1", "blue")])
    with pytest.raises(UserError, match=r"p1 \('red' in data row 1, 'blue' in row 2\)"):
        ingest(store, replace(shop, attributes=path))
    assert store.scalar("SELECT count(*) FROM products") == 0
