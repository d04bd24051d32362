"""The review page in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.review.offline import write_offline_page
from genfilt.store.store import Store
from tests.review.browser import Page, ReviewCommand, browsing
from tests.review.review_shop import open_session, stored, write_shop

HOSTILE = (
    "<script>document.title='broken'</script><img src=x onerror=document.title='broken'>",
    "\"'--></script><script>document.title='broken'</script>",
    "Hoodie \u202e\u0000 dexof \u2066 &lt;b&gt; {{ 7*7 }} ${7*7}",
    "קפוצ'ון אדום",
    "W" * 400,
    "=HYPERLINK('http://x.example')",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browsing(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture
def page(browser: Chrome) -> Iterator[Page]:
    yield Page(browser)
    faults = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    # A server that was killed cannot be reached; nothing else may go wrong in the page.
    assert not [line for line in faults if "net::ERR_" not in line["message"]], faults
    assert "broken" not in browser.title


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb", HOSTILE)


class Answers:
    """Answers by keyboard, and what they must have left in the database."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.given: dict[tuple[str, str, str], int] = {}

    def press(self, key: str) -> tuple[str, str]:
        """Answer the pair on the page with y or n; return its ids once that is saved."""
        self.page.wait_for_pair()
        pair, before = self.page.pair(), self.page.text("progress")
        self.page.press(key)
        self.given[(*pair, "ann")] = int(key == "y")
        self.page.wait(lambda: self.page.text("progress") != before)
        return pair


def test_thirty_answers_by_keyboard_with_undo_and_reload(db: Path, page: Page) -> None:
    browser, answers = page.browser, Answers(page)
    command = ReviewCommand(db, "--reviewer", "ann")
    browser.get(command.address)
    assert "token" not in browser.current_url
    for n in range(8):
        answers.press("yn"[n % 2])
    pair = answers.press("n")
    page.wait_for_pair()
    page.press("u")  # undo
    page.wait_for_progress("8 of 30 answered")
    page.wait_for_pair()
    assert page.pair() == pair
    assert stored(db)[(*pair, "ann")] is None
    answers.press("y")
    browser.refresh()  # in the middle
    page.wait_for_progress("9 of 30 answered")
    while len(answers.given) < 30:
        answers.press("n")
    page.wait_for_progress("30 of 30 answered")
    assert stored(db) == answers.given
    browser.get("about:blank")
    assert "Ended; every answer is in the table reviews." in command.end()
    with Store(db, read_only=True) as store:
        assert store.rows("SELECT count(*), count(DISTINCT draw) FROM samples") == [(30, 1)]


def test_two_tabs_and_a_killed_server_lose_and_double_nothing(db: Path, page: Page) -> None:
    browser, answers = page.browser, Answers(page)
    command = ReviewCommand(db, "--reviewer", "ann")
    browser.get(command.address)
    answers.press("y")
    first, clean = browser.current_window_handle, browser.current_url
    browser.switch_to.new_window("tab")
    browser.get(clean)
    page.wait_for_progress("1 of 30 answered")
    for _ in range(3):
        answers.press("n")
    browser.close()
    browser.switch_to.window(first)
    page.script("window.dispatchEvent(new Event('focus'))")
    page.wait_for_progress("4 of 30 answered")
    # The pair that this tab shows has its answer from the other tab: the next open one is taken.
    page.press("s")
    answers.press("y")
    command.kill()
    page.wait_for_pair()
    page.press("y")
    page.wait(lambda: "Not saved" in page.text("status"))
    assert stored(db) == answers.given
    command = ReviewCommand(db, "--reviewer", "ann")
    browser.get(command.address)
    page.wait_for_progress("5 of 30 answered")
    answers.press("n")
    assert stored(db) == answers.given
    assert len(answers.given) == 6
    browser.get("about:blank")
    command.end()


def test_the_page_fits_wide_narrow_and_dark(db: Path, page: Page, tmp_path: Path) -> None:
    browser = page.browser
    command = ReviewCommand(db, "--link", "https://shop/p/{product_id}")
    browser.get(command.address)
    page.wait_for_pair()
    for _ in range(30):  # the longest title and the one that runs from the right are among them
        page.wait_for_pair()
        content, window = page.width("narrow", 390, tmp_path)
        assert content <= window
        if page.script("return byId('card').querySelector('img') !== null"):
            page.wait(lambda: page.script("return byId('card').querySelector('img').complete"))
            assert page.script("return byId('card').querySelector('img').naturalWidth") == 64
        page.press("\ue014")  # arrow right
        if page.script("return state.at === state.shown.length - 1"):
            break
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    content, window = page.width("open", 390, tmp_path)
    assert content <= window
    page.script("for (const part of document.querySelectorAll('details')) part.open = false")
    for name, scheme in (("light", "light"), ("dark", "dark")):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        content, window = page.width(name, 1200, tmp_path)
        assert content <= window
    page.press("?")
    assert page.script("return byId('help').open")
    assert not page.script(
        "return [...document.querySelectorAll('img')].some((image) => !image.alt)"
    )
    browser.get("about:blank")
    command.end()


def test_the_offline_page_saves_answers_that_ingest_takes(
    db: Path, page: Page, tmp_path: Path
) -> None:
    for table, number in (("products", "product_no"), ("queries", "query_no")):
        key = "product_id" if table == "products" else "query_id"
        old, new = ("p05", "=1+1") if table == "products" else ("q0", "-q,0 \"'")
        with Store(db) as store:
            for name in (table, number):
                store.connection.execute(f"UPDATE {name} SET {key} = ? WHERE {key} = ?", [new, old])
    out = tmp_path / "review.html"
    assert write_offline_page(open_session(db), out, "'=ann") == 30
    browser = page.browser
    folder = str(tmp_path)
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": folder}
    )
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {
        "offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0,
    })  # fmt: skip
    browser.get(out.as_uri())
    for n in range(30):
        page.wait_for_pair()
        page.press("yn"[n % 2])
    page.wait_for_progress("30 of 30 answered")
    browser.refresh()
    page.wait_for_progress("30 of 30 answered")  # kept by the browser
    page.script("byId('save').click()")
    page.wait_for_download(tmp_path / "review.csv")
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    with Store(db) as store:
        counts = ingest(store, Sources(reviews=str(tmp_path / "review.csv")))
        assert counts == {"reviews": 30, "failed": 0}
        rows = store.rows(
            "SELECT query_id, product_id, verdict, reviewer FROM reviews JOIN samples "
            "USING (query_id, product_id)"
        )
    assert len(rows) == 30
    assert {reviewer for *_, reviewer in rows} == {"'=ann"}
    assert sum(verdict for _, _, verdict, _ in rows) == 15
    assert ("-q,0 \"'", "=1+1") in {(query, product) for query, product, *_ in rows}
