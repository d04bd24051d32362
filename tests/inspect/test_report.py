from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.precision_curve import Curve
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.charts import curve, funnel, histogram
from genfilt.inspect.report import write_report
from genfilt.inspect.report_cards import CARDS
from genfilt.store.failures import Failure, write_failures
from genfilt.store.store import Store
from tests.described_shop import ask, describe, described_shop, judge
from tests.shop_files import draw

HOSTILE = (
    "</title><script>alert(1)</script><img src=https://x.example/a.png onerror=alert(2)> "
    "\" onload='x' {{ 7 * 7 }} {% raw %} '); DROP TABLE products; -- \u202egnp.exe \x07"
)
VOID = {"meta", "img", "path", "line", "br", "link"}


class Page(HTMLParser):
    """What a browser would make of a page; tags that do not close fail."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    def assert_harmless(self) -> None:
        assert not {"script", "iframe", "object", "link", "form", "a"} & {t for t, _ in self.tags}
        for tag, attributes in self.tags:
            assert not any(name.startswith("on") for name in attributes), attributes
            assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or (
                tag != "img"
            )
            assert "href" not in attributes
        policy = [a for t, a in self.tags if t == "meta" and a.get("http-equiv")]
        assert "default-src 'none'" in str(policy[0]["content"])
        assert "\u202e" not in self.text
        assert "\x07" not in self.text


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
    assert page.said.count("σ 0.6") >= 4
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


def test_the_gallery_is_limited_and_spread_over_the_scores(
    tmp_path: Path, embedder: Embedder
) -> None:
    with Store() as store:
        kinds = ("hoodie", "jacket", "shirt", "mug", "kettle", "lamp", "sofa", "tent")
        products = [(f"p{n}", f"Acme {k} {n}", k, "red", f"a red {k}", "train")
                    for n, k in enumerate(kinds)]  # fmt: skip
        describe(store, products)
        ask(store, [(f"q{n}", f"red {k}") for n, k in enumerate(kinds)])
        filter_pairs(store, FilterSettings(0.1), embedder)
        corrections = store.rows("SELECT score FROM query_product_corrections ORDER BY 1 DESC")
        assert len(corrections) > 2 * CARDS
        write_report(store, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    cards = [a for t, a in page.tags if t == "article"]
    assert CARDS <= len(cards) <= CARDS + 8
    shown = [float(part.split()[0]) for part in page.said.split("score ")[1 : CARDS + 1]]
    assert shown == sorted(shown, reverse=True)
    lowest = corrections[len(corrections) * 4 // 5][0]
    assert sum(score <= lowest for score in shown) >= 3
    assert sum(score >= corrections[len(corrections) // 5][0] for score in shown) >= 3


def test_a_funnel_narrows() -> None:
    rows = funnel([("all", 1000), ("some", 10), ("none", 0), ("still none", 0)])
    assert [row["width"] for row in rows] == [100, 1, 0, 0]
    assert [row["share"] for row in rows] == [None, "1 %", "0 %", "0 %"]
    assert funnel([("all", 0)])[0]["width"] == 0
    wide = funnel([("all", 10**9), ("few", 3)], logarithmic=True)
    assert 0 < wide[1]["width"] < 10
    assert wide[1]["share"] == "< 0.001 %"


def test_a_histogram_marks_sigma_where_it_lies() -> None:
    values = np.linspace(0, 1, 1001)
    drawn = histogram("x", values, values[:0], 0.45)
    assert drawn["sigma"] == 180
    assert drawn["any_above"] == "55 %"
    assert drawn["known"] is None
    assert histogram("x", values, values, None)["sigma"] is None
    assert "nan" not in histogram("x", np.array([-3.0, 7.0]), values, 1.0)["any"]


def test_a_curve_leaves_out_what_is_not_defined() -> None:
    found = Curve(
        sigma=[0.0, 0.5, 0.9],
        precision=[0.5, 1.0, None],
        precision_ci=[(0.4, 0.6), (0.9, 1.0), (None, None)],
        recall=[1.0, 0.25, 0.0],
        recall_ci=[(None, None)] * 3,
    )
    drawn = curve(found, 0.5, 0.95, 0.5)
    assert drawn["precision"] == "M0.0,120.0L380.0,0.0"
    assert drawn["recall"] == "M0.0,0.0L380.0,180.0L684.0,240.0"
    assert drawn["band"] == "M0.0,96.0L380.0,0.0L380.0,24.0L0.0,144.0"
    assert (drawn["sigma"], drawn["best"], drawn["target"]) == (380, 380, 12)
