"""The loop of an extraction step: failures that clear, odd text, runs in which most items fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from genfilt.extract import missing
from genfilt.extract.captions import caption_pictures
from genfilt.extract.titles import extract_attributes
from genfilt.generators.fitted import fitted_lexicon, fitted_neighbours
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.protocols import Attributes, Failure
from genfilt.ingest.ingest import Sources, ingest
from genfilt.store.keys import text_key
from genfilt.store.store import Store
from tests.generators.huge_png import save_huge_png
from tests.generators.llm.chat_peer import Answer, Body, ChatPeer, attributes, completion, title_of
from tests.shop_files import write_shop


class Reader:
    """Fails on the titles that it is given, with one detail, and reads the others."""

    name, prompt_key = "reader", "prompt"

    def __init__(self, failing: int, detail: str = "") -> None:
        self.failing, self.detail = failing, detail
        self.calls = 0

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        self.calls += 1
        for place, (key, title) in enumerate(titles.items()):
            if place < self.failing:
                yield key, Failure("no answer", self.detail)
            else:
                yield key, Attributes(title, None, None, None, None, raw="{}")


def catalogue(count: int) -> Store:
    store = Store()
    for number in range(count):
        title = f"Coat {number}"
        store.connection.execute(
            "INSERT INTO products VALUES (?, ?, NULL, NULL, 'train', ?, NULL)",
            [str(number), title, text_key(title)],
        )
    return store


def test_most_items_failing_is_said_early_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "ROWS_PER_WRITE", 10)
    with catalogue(60) as store:
        counts = extract_attributes(store, Reader(40, "HTTP 418"))
    assert (counts.done, counts.failed) == (20, 40)
    early, late = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert "extract failed for 20 of the first 20 items, most often: no answer" in early
    assert "HTTP 418" in early
    assert "extract failed for 40 of 60 items" in late


def test_few_failures_are_not_shouted(capsys: pytest.CaptureFixture[str]) -> None:
    with catalogue(60) as store:
        extract_attributes(store, Reader(30))
    assert "WARNING" not in capsys.readouterr().err


def test_all_items_go_to_the_generator_in_one_call() -> None:
    with catalogue(50) as store:
        reader = Reader(0)
        extract_attributes(store, reader)
        assert reader.calls == 1
        extract_attributes(store, reader)
        assert reader.calls == 1


@pytest.mark.parametrize(
    "detail", ["half \ud800 a pair", "/tmp/\udcff.png", "nul \x00", "x" * 9999]
)
def test_details_of_any_text_are_stored(detail: str) -> None:
    with catalogue(3) as store:
        assert extract_attributes(store, Reader(3, detail)).failed == 3
        assert store.scalar("SELECT count(*) FROM failures") == 3


def test_a_failure_clears_when_its_item_succeeds() -> None:
    with catalogue(3) as store:
        extract_attributes(store, Reader(2))
        assert store.scalar("SELECT count(*) FROM failures") == 2
        extract_attributes(store, Reader(0), retry_failed=True)
        assert store.scalar("SELECT count(*) FROM failures") == 0


def test_a_failure_clears_when_its_picture_is_repaired(tmp_path: Path) -> None:
    options = write_shop(tmp_path)
    torn = tmp_path / "images" / "p2.png"
    whole = torn.read_bytes()
    with Store() as store:
        ingest(store, Sources(products=options["products"], images=Path(options["images"])))
        torn.write_bytes(b"torn")
        ingest(store, Sources(images=tmp_path / "images"))
        assert caption_pictures(store, fitted_neighbours(store)).failed == 1
        torn.write_bytes(whole)
        ingest(store, Sources(images=tmp_path / "images"))
        assert caption_pictures(store, fitted_neighbours(store)).failed == 0
        assert store.scalar("SELECT count(*) FROM failures WHERE step = 'caption'") == 0


def test_a_picture_of_ten_thousand_million_pixels_is_a_failure(tmp_path: Path) -> None:
    options = write_shop(tmp_path)
    save_huge_png(tmp_path / "images" / "p2.png")
    with Store() as store:
        ingest(store, Sources(products=options["products"], images=Path(options["images"])))
        counts = caption_pictures(store, fitted_neighbours(store))
        assert counts.failed == 1
        assert counts.done > 1
        assert store.scalar("SELECT reason FROM failures") == "unreadable picture"


def test_one_hostile_reply_costs_one_item() -> None:
    def behave(number: int, body: Body) -> Answer:
        title = title_of(body)
        if title == "Coat 1":
            return completion("[" * 100_000)
        if title == "Coat 2":
            return completion(json.dumps({"brand": "\ud800"}))
        return attributes(body)

    with ChatPeer(behave) as peer, VllmReader(peer.url) as reader, catalogue(4) as store:
        counts = extract_attributes(store, reader)
        assert (counts.done, counts.failed) == (2, 2)
        lexicon = fitted_lexicon(store)
        assert extract_attributes(store, lexicon).done == 4
