"""The tagger as a reader of titles: the packaged weights on titles of shops it never saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genfilt.common.errors import UserError
from genfilt.extract.titles import extract_attributes, extract_queries
from genfilt.generators.llm.reply import grounded_value
from genfilt.generators.protocols import FIELDS, Attributes
from genfilt.generators.registry import GeneratorChoice, Llm, open_reader
from genfilt.generators.tagger.brand_statistics import BrandTable
from genfilt.generators.tagger.tagger import Tagger
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from genfilt.vocabulary.tokens import words
from tests.shop_files import write_shop

BLANK = Tagger(BrandTable(frozenset(), frozenset()))
KINDS = (
    "laptop 14 inch",
    "wireless mouse black",
    "usb cable 2 m",
    "camera case",
    "desk lamp white",
    "battery pack",
    "memory card 32 GB",
    "backpack grey",
)
BRANDS = ("HP", "3M", "Cherry", "Philips", "Dove", "Target", "Case Logic", "Kingston Technology")
SHOP_WORDS = ("Red", "Oak", "HP", "15L", "for", "with", "Lamp", "x", "by")


@pytest.fixture
def torch_threads() -> Iterator[Callable[[int], None]]:
    """Set the number of torch's threads for one test."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def last_word(text: str | None) -> str | None:
    return words(text or "")[-1] if text else None


@pytest.mark.parametrize(
    ("title", "head"),
    [
        ("Wall mount for projector", "mount"),
        ("Projector wall mount KPW 12", "mount"),
        ("Desk holder for computer, steel", "holder"),
        ("External hard drive enclosure silver", "enclosure"),
        ("Notebook stand black", "stand"),
        ("Watch strap leather brown", "strap"),
        ("Bottle opener steel", "opener"),
        ("Curtain rod 120 cm", "rod"),
        ("Laptop skin with mouse pad", "skin"),
        ("Sofa cover grey 3 seater", "cover"),
        ("2 in 1 laptop 14 inch", "laptop"),
        ("Twin lens camera", "camera"),
    ],
)
def test_the_core_word_is_what_is_sold(title: str, head: str) -> None:
    assert last_word(BLANK.attributes(title).core_word) == head


def test_brands_are_found_in_all_their_titles_also_units_and_ordinary_words() -> None:
    titles = [f"{brand} {kind}" for brand in BRANDS for kind in KINDS]
    reader = Tagger.fit(titles)
    found = {title: reader.attributes(title).brand for title in titles}
    assert found == {f"{brand} {kind}": brand for brand in BRANDS for kind in KINDS}


def test_titles_without_a_brand_are_given_none() -> None:
    openings = ("Large", "Wireless", "Black", "Vintage", "Women's", "Stainless Steel")
    titles = [f"{opening} {kind}" for opening in openings for kind in KINDS]
    reader = Tagger.fit(titles)
    given = [title for title in titles if reader.attributes(title).brand is not None]
    assert len(given) <= 0.05 * len(titles), given


def test_what_a_case_fits_is_no_brand() -> None:
    assert BLANK.attributes("Silicone case for Samsung Galaxy S21 black").brand is None


@given(st.text(max_size=60) | st.lists(st.sampled_from(SHOP_WORDS)).map(" ".join))
@settings(deadline=None, max_examples=60)
def test_no_value_is_invented(title: str) -> None:
    found = BLANK.attributes(title)
    for field in FIELDS:
        value = getattr(found, field)
        assert value is None or grounded_value(title, value) == value
    assert (found.core_word is not None) == (bool(words(title)) and found.brand != title)


def test_every_title_is_read_once_whatever_its_length_and_company() -> None:
    titles = {str(n): "lamp " * (n % 9) + "Oak Chair" * (n % 2) for n in range(300)}
    found = dict(BLANK.read(titles))
    assert found.keys() == titles.keys()
    for key in ("0", "1", "8", "299"):
        assert found[key] == BLANK.attributes(titles[key])
    assert all(isinstance(each, Attributes) for each in found.values())
    assert json.loads(found["1"].raw) == {name: getattr(found["1"], name) for name in FIELDS}  # type: ignore[union-attr]


def test_state_survives_and_names_the_reader() -> None:
    titles = [f"Acme {kind}" for kind in KINDS]
    reader, other = Tagger.fit(titles), Tagger.fit(titles[::-1])
    again = Tagger.from_state(reader.state())
    assert reader.state() == other.state() == again.state()
    assert reader.name == again.name != BLANK.name
    assert reader.name.startswith("tagger-")
    assert reader.prompt_key == BLANK.prompt_key
    with pytest.raises(UserError, match="run extract --refit"):
        Tagger.from_state(b"{}")


def test_the_tagger_is_fitted_once_and_reads_titles_and_queries(tmp_path: Path) -> None:
    options = write_shop(tmp_path)
    with Store() as store:
        ingest(store, Sources(products=options["products"], queries=options["queries"]))
        choice = GeneratorChoice(Llm.tagger)
        with open_reader(store, choice) as reader, open_reader(store, choice) as again:
            assert reader.name == again.name
            assert extract_attributes(store, reader).failed == 0
            assert extract_queries(store, reader).failed == 0
        assert str(store.meta("llm")).startswith("tagger-")
        assert store.scalar("SELECT count(*) FROM generator_states") == 1
        missing = store.rows(
            "SELECT title FROM products LEFT JOIN current_attributes USING (title_key) "
            "WHERE core_word IS NULL"
        )
        assert missing == []


@pytest.mark.parametrize(
    ("title", "head"),
    [("No Rinse Steriliser VWP 400g Tub", "steriliser"), ("Coffee filter paper", "filter")],
)
def test_what_a_thing_is_packed_in_or_made_of_is_no_core_word(title: str, head: str) -> None:
    assert last_word(BLANK.attributes(title).core_word) == head


def test_one_letter_is_no_brand() -> None:
    assert BLANK.attributes("J Crossover Skort").brand is None


def test_any_number_of_threads_reads_the_same_and_stays_as_it_was(
    torch_threads: Callable[[int], None],
) -> None:
    import torch

    titles = {f"{brand} {kind}": f"{brand} {kind}" for brand in BRANDS for kind in KINDS}
    torch_threads(1)
    alone = list(BLANK.read(titles))
    torch_threads(3)
    assert list(BLANK.read(titles)) == alone
    with ThreadPoolExecutor(1) as pool:  # a thread begun later has the process's number
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
