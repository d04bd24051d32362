"""Counts of grounded, dropped and missing fields, and of captions that name no kind."""

from __future__ import annotations

import json
from pathlib import Path

from genfilt.extract.captions import caption_pictures
from genfilt.extract.generator_quality import (
    FieldGrounding,
    abstention_advice,
    abstentions,
    grounding,
)
from genfilt.extract.titles import extract_attributes
from genfilt.generators.fitted import fitted_lexicon, fitted_neighbours
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.protocols import FIELDS
from genfilt.ingest.ingest import Sources, ingest
from genfilt.inspect.status import status
from genfilt.store.keys import text_key
from genfilt.store.store import Store
from tests.generators.llm.chat_peer import Answer, Body, ChatPeer, completion, title_of
from tests.shop_files import write_shop


def test_fields_are_counted_as_grounded_dropped_or_null() -> None:
    def behave(number: int, body: Body) -> Answer:
        brand = "Acme" if title_of(body) != "Coat 2" else None
        return completion(
            json.dumps({**dict.fromkeys(FIELDS), "core_word": "coat", "brand": brand})
        )

    with ChatPeer(behave) as peer, VllmReader(peer.url) as reader, Store() as store:
        for title in ("Acme coat", "Coat 1", "Coat 2"):
            store.connection.execute(
                "INSERT INTO products VALUES (?, ?, NULL, NULL, 'train', ?, NULL)",
                [title, title, text_key(title)],
            )
        extract_attributes(store, reader)
        found = {each.field: each for each in grounding(store)}
        rows = {row["what"]: row for row in status(store)}
    assert rows["titles with brand"]["count"] == 1
    assert "dropped, since the title does not hold it: 1; null: 1" in str(rows["titles with brand"])
    assert found["core_word"] == FieldGrounding("core_word", 3, 0, 0)
    assert found["brand"] == FieldGrounding("brand", 1, 1, 1)
    assert found["color"] == FieldGrounding("color", 0, 0, 3)


def test_an_empty_database_and_embedded_readers_are_counted_too(tmp_path: Path) -> None:
    options = write_shop(tmp_path)
    with Store() as store:
        assert grounding(store) == [FieldGrounding(field, 0, 0, 0) for field in FIELDS]
        assert (abstentions(store).captions, abstention_advice(store)) == (0, None)
        ingest(store, Sources(products=options["products"], images=Path(options["images"])))
        extract_attributes(store, fitted_lexicon(store))
        assert all(each.dropped == 0 for each in grounding(store))
        caption_pictures(store, fitted_neighbours(store))
        found = abstentions(store)
        # Two train pictures of known kind are too few to prove any.
        assert found.captions == found.without_kind > 0
        assert "--captioner" in (abstention_advice(store) or "")
        assert any("names no kind of product" in str(row["detail"]) for row in status(store))
