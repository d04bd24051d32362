from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.report import write_report
from genfilt.store.failures import Failure, write_failures
from genfilt.store.store import Store
from tests.described_shop import ask, describe, described_shop, judge
from tests.inspect.html_page import Page
from tests.shop_files import draw

HOSTILE = (
    "</title><script>alert(1)</script><img src=https://x.example/a.png onerror=alert(2)> "
    "\" onload='x' {{ 7 * 7 }} {% raw %} '); DROP TABLE products; -- \u202egnp.exe \x07"
)


@pytest.fixture
def shop(embedder: Embedder) -> Store:
    store = described_shop()
    judge(
        store,
        "labels",
        [
            {"query_id": "q1", "product_id": "p1", "label": "1", "split": "train"},
            {"query_id": "q1", "product_id": "p3", "label": "0", "split": "train"},
        ],
    )
    filter_pairs(store, FilterSettings(0.6, 0.3), embedder)
    return store


def test_the_report_holds_what_the_tables_do(shop: Store, tmp_path: Path) -> None:
    picture = draw(tmp_path / "p.png", "red", size=900)
    shop.connection.execute("UPDATE products SET image = ?", [str(picture)])
    write_failures(shop, "caption", "hand", [("i-9", Failure("unreadable picture", "i-9 is cut"))])
    write_report(shop, tmp_path / "out" / "r.html")
    page = Page(tmp_path / "out" / "r.html")
    page.assert_harmless()
    corrections = shop.rows(
        "SELECT query, title, caption, score FROM query_product_corrections WHERE split = 'train'"
    )
    assert corrections
    for query, title, caption, score in corrections:
        for text in (query, title, caption, f"score {score:.3f}"):
            assert (text or "title alone") in page.said
    assert f"{len(corrections)} new query and product matches" in page.said
    assert "unreadable picture" in page.said
    assert page.said.count("now 0.6") == 1
    assert "threshold (σ) 0.6" in page.said
    assert [t for t, _ in page.tags].count("img") >= len(corrections)
    assert not list((tmp_path / "out").glob("*.part"))


def test_catalogue_text_stays_text(tmp_path: Path, embedder: Embedder) -> None:
    with Store() as store:
        caption = f"a red hoodie {HOSTILE}"
        shown = [
            (f"<b>p{n}", f"{HOSTILE} hoodie {n}", "hoodie", "<i>red", caption, "train")
            for n in range(3)
        ]
        describe(store, shown)
        ask(store, [("<u>q", f"red hoodie {HOSTILE}")])
        write_failures(store, "ingest", "", [(HOSTILE, Failure("<b>bad", HOSTILE))])
        filter_pairs(store, FilterSettings(0.1), embedder)
        assert store.scalar("SELECT count(*) FROM query_product_corrections") == 3
        write_report(store, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    page.assert_harmless()
    assert "<script>alert(1)</script>" in page.said
    assert "{{ 7 * 7 }}" in page.said
    assert "u" not in {tag for tag, _ in page.tags}


def test_the_report_says_what_is_missing(tmp_path: Path) -> None:
    with Store() as store:
        with pytest.raises(UserError, match="no products"):
            write_report(store, tmp_path / "r.html")
        ingest(store, Sources(products=pa.table({"product_id": ["1"], "title": ["Red mug"]})))
        write_report(store, tmp_path / "r.html")
        said = Page(tmp_path / "r.html").said
        assert "Nothing has been compared yet" in said
        assert "before genfilt filter has run" in said
        assert "Nothing failed" in said
