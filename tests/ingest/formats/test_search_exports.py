from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store

UBI = (
    '{"application": "a", "action_name": "click", "query_id": "1", "user_query": "mug", '
    '"event_attributes": {"object": {"object_id": "p1"}}}\n'
)
REPLY = '{"took": 1, "hits": {"hits": [{"_id": "1", "_source": {"title": "Mug"}}]}}\n'
DOCUMENT = '{"_index": "a", "_id": "1", "_source": {"title": "Mug"}}\n'
BULK = '{"index": {"_id": "1"}}\n{"title": "Mug"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (UBI, "holds UBI events.*event_attributes.object.object_id"),
        (REPLY, "is the reply of a search engine.*_id as product_id"),
        (DOCUMENT, "holds documents of a search engine.*_id as product_id"),
        (BULK, "is a bulk request to a search engine.*_id as product_id"),
        ('{"index": 1, "title": "Mug"}\n', "has no .*product_id; it has index, title"),
    ],
)
def test_exports_of_search_engines_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(content)
    for sources in (Sources(products=str(path)), Sources(clicks=str(path))):
        with Store() as store, pytest.raises(UserError, match=message) as caught:
            ingest(store, sources)
        assert "\n" not in str(caught.value)


def test_our_columns_decide_first(tmp_path: Path) -> None:
    path = tmp_path / "products.jsonl"
    path.write_text('{"product_id": 1, "title": "Mug", "_id": 5, "_source": {"a": 1}}\n')
    with Store() as store:
        assert ingest(store, Sources(products=str(path)))["products"] == 1
