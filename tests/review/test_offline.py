from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genfilt.cli.app import app
from genfilt.common.errors import UsageError
from genfilt.common.sheets import write_sheet
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.review.offline import write_offline_page
from genfilt.store.store import Store
from tests.review.review_shop import KINDS, open_session, write_shop

TITLES = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"' onload=alert(1) \u202e\u2028 \x01 {{ 7*7 }} &amp;",
)


class Parts(HTMLParser):
    """The scripts, styles, addresses and policy of a page as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag in ("script", "style")
        if self._open:
            self.texts.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attributes, text = self.texts[-1]
            self.texts[-1] = (tag, attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        self._open = False


@pytest.fixture
def page(tmp_path: Path) -> Parts:
    db = write_shop(tmp_path / "t.duckdb", TITLES, ("<b>hoodie</b> \u202e", *KINDS[1:]))
    out = tmp_path / "out" / "review.html"
    assert write_offline_page(open_session(db), out, 'ann"><script>') == 30
    return Parts(out.read_text("utf-8"))


def test_the_file_names_nothing_of_the_network(page: Parts) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    (policy,) = [
        attributes["content"] or ""
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    assert "connect-src" not in policy  # as default-src: none
    assert "unsafe" not in policy


def test_the_policy_allows_the_one_script_by_its_hash(page: Parts) -> None:
    (policy,) = [a["content"] or "" for t, a in page.tags if "http-equiv" in a]
    scripts = [text for tag, attributes, text in page.texts if tag == "script" and not attributes]
    styles = [text for tag, _, text in page.texts if tag == "style"]
    assert len(scripts) == len(styles) == 1
    for text, directive in ((scripts[0], "script-src"), (styles[0], "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy


def test_texts_of_the_catalogue_stay_data(page: Parts) -> None:
    (data,) = [text for tag, a, text in page.texts if a.get("type") == "application/json"]
    assert not re.search("[<>&]", data)
    given = json.loads(data)
    assert len(given["items"]) == len(given["cards"]) == 30
    titles = {card["product_id"]: card["title"] for card in given["cards"]}
    assert titles["p00"] == TITLES[0]
    assert titles["p02"] == "\"' onload=alert(1) {{ 7*7 }} &"  # ingest decodes entities
    assert {card["query"] for card in given["cards"]} >= {"<b>hoodie</b>"}
    assert given["pictures"]["p00"].startswith("data:image/jpeg;base64,")
    assert given["pictures"]["p10"] is None
    # The data, the page's script, and nothing of a title or of the reviewer's name.
    assert [tag for tag, _ in page.tags].count("script") == 2
    (body,) = [attributes for tag, attributes in page.tags if tag == "body"]
    assert body == {"data-person": 'ann"><script>'}


def test_the_command_writes_the_page_and_refuses_other_files(tmp_path: Path) -> None:
    db = write_shop(tmp_path / "t.duckdb")
    out = tmp_path / "review.html"
    done = CliRunner().invoke(app, ["review", "--db", str(db), "--out", str(out), "--sample", "5"])
    assert done.exit_code == 0, done.stderr
    assert "5 corrections in" in done.stderr
    assert "genfilt ingest --reviews review.csv" in done.stderr
    assert out.read_text("utf-8").startswith("<!doctype html>")
    for wrong, why in (
        (("--out", str(tmp_path / "r.csv")), "--out must end in .html"),
        (("--link", "ftp://x"), "--link must begin with"),
        (("--around", "2"), "--around must be a score"),
    ):
        done = CliRunner().invoke(app, ["review", "--no-browser", "--db", str(db), *wrong])
        assert isinstance(done.exception, UsageError)
        assert why in str(done.exception)
    with Store(db, read_only=True) as store:
        # What is refused draws nothing.
        assert store.scalar("SELECT max(draw) FROM samples") == 1


def test_reviews_of_a_sheet_come_back_unshielded(tmp_path: Path) -> None:
    db, sheet = write_shop(tmp_path / "t.duckdb"), tmp_path / "review.csv"
    columns = ("query_id", "product_id", "verdict", "reviewer", "note")
    write_sheet(sheet, columns, [("q0", "p00", 1, "'=ann", "+1 and =2")])
    with Store(db) as store:
        assert ingest(store, Sources(reviews=str(sheet)))["reviews"] == 1
        assert store.rows("SELECT reviewer, note FROM reviews") == [("'=ann", "+1 and =2")]
