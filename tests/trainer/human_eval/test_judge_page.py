"""The page of a sheet in a real browser, served and as one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.review.browser import Page, browsing
from tests.review.review_shop import serving_page
from tests.trainer.human_eval.judged_sheets import HOSTILE
from tests.trainer.shop import draw
from trainer.human_eval.judge_server import JudgeServer
from trainer.human_eval.judgements import read_judgements
from trainer.human_eval.sheet import ShownProduct, answers_of, page_of, read_sheet, write_sheet

ROWS = 6


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browsing(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    ring = draw(tmp_path / "ring.jpg", "red", "ring")
    rows = [
        ShownProduct(f"{n}bcdf", HOSTILE[n % 3], HOSTILE[n % 3], str(ring) if n % 2 else None)
        for n in range(ROWS)
    ]
    write_sheet(rows, tmp_path / "judge.csv")
    return tmp_path / "judge.csv"


def grades(path: Path) -> dict[str, int]:
    """Return ann's grades by row."""
    found = read_judgements(path) if path.suffix == ".jsonl" else read_sheet(path)
    return {one.row: one.grade for one in found if one.judge == "ann"}


def test_judging_by_keyboard_with_undo_and_reload(
    browser: Chrome, sheet: Path, tmp_path: Path
) -> None:
    page, server = Page(browser), JudgeServer(sheet, 0, "ann")
    with serving_page(server):
        browser.get(server.address)
        for n, key in enumerate("1f3"):
            page.wait_for_pair()
            page.press(key)
            page.wait_for_progress(f"{n + 1} of {ROWS} answered")
        assert grades(answers_of(sheet)) == {"0bcdf": 0, "1bcdf": 1, "2bcdf": 2}
        page.wait_for_pair()
        page.press("u")
        page.wait_for_progress(f"2 of {ROWS} answered")
        assert grades(answers_of(sheet)) == {"0bcdf": 0, "1bcdf": 1}
        browser.refresh()
        page.wait_for_progress(f"2 of {ROWS} answered")
        for n in range(2, ROWS):
            page.wait_for_pair()
            page.press("b")
            page.wait_for_progress(f"{n + 1} of {ROWS} answered")
        assert grades(answers_of(sheet)) == {"0bcdf": 0, "1bcdf": 1} | {
            f"{n}bcdf": 2 for n in range(2, ROWS)
        }
        content, window = page.width("narrow", 390, tmp_path)
        assert content <= window
        browser.get("about:blank")


def test_the_file_judges_offline_and_saves_a_sheet(
    browser: Chrome, sheet: Path, tmp_path: Path
) -> None:
    page = Page(browser)
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    browser.get(page_of(sheet).as_uri())
    page.wait_for_pair()
    page.script("byId('person').value = 'ann'")
    for n in range(ROWS):
        page.wait_for_pair()
        page.press("123"[n % 3])
    page.wait_for_progress(f"{ROWS} of {ROWS} answered")
    page.script("byId('save').click()")
    page.wait_for_download(tmp_path / "judge-ann.csv")
    assert grades(tmp_path / "judge-ann.csv") == {f"{n}bcdf": n % 3 for n in range(ROWS)}
    assert "broken" not in browser.title
