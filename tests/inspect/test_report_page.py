"""The report in a real browser: paging, filters, themes and widths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from genfilt.features.embed import Embedder
from genfilt.inspect.report import write_report
from tests.inspect.test_report_cards import many
from tests.review.browser import browsing

HOSTILE = "<img src=x onerror=document.title='broken'></script><script>document.title='broken'"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> str:
    path = tmp_path_factory.mktemp("report") / "r.html"
    with many(embedder) as store:
        store.connection.execute(
            "UPDATE products SET title = title || ?, category = CASE WHEN product_id = 'p0' "
            "THEN 'Tops' ELSE ? END",
            [HOSTILE, HOSTILE],
        )
        write_report(store, path)
    return path.as_uri()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browsing(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture
def browser(chrome: Chrome, address: str) -> Iterator[Chrome]:
    chrome.get(address)
    yield chrome
    assert not chrome.get_log("browser")  # what the policy refuses is logged
    assert chrome.title == "What genfilt found"


def shown(browser: Chrome) -> list[str]:
    """Return the scores of the cards that can be seen."""
    cards = browser.find_elements(By.CSS_SELECTOR, "#found > article")
    return [str(card.get_attribute("data-score")) for card in cards if card.is_displayed()]


def test_cards_are_paged_searched_and_ordered(browser: Chrome) -> None:
    where = browser.find_element(By.ID, "where")
    assert where.text == "1 to 24 of 64"
    first = shown(browser)
    assert len(first) == 24
    assert first == sorted(first, reverse=True)
    browser.find_element(By.ID, "after").click()
    assert where.text == "25 to 48 of 64"
    assert shown(browser)[0] <= first[-1]
    browser.find_element(By.ID, "after").click()
    assert len(shown(browser)) == 16
    assert not browser.find_element(By.ID, "after").is_enabled()
    Select(browser.find_element(By.ID, "order")).select_by_value("unsure")
    last = shown(browser)
    assert last == sorted(last)
    assert where.text == "1 to 24 of 64"
    search = browser.find_element(By.ID, "search")
    search.send_keys("kettle SOFA")
    assert where.text == "1 to 2 of 2"
    search.send_keys(" nothing")
    assert where.text == "nothing matches"
    assert not shown(browser)


def test_cards_are_filtered_by_category_and_score(browser: Chrome) -> None:
    where = browser.find_element(By.ID, "where")
    Select(browser.find_element(By.ID, "category")).select_by_visible_text("Tops")
    assert where.text == "1 to 8 of 8"
    lowest = shown(browser)[1]
    browser.find_element(By.ID, "lowest").send_keys(lowest)
    assert where.text == "1 to 2 of 2"


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (390, "dark"), (1200, "dark")])
def test_nothing_scrolls_sideways_in_either_theme(browser: Chrome, width: int, theme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.execute_script(wide)
    style = "return getComputedStyle(document.body).backgroundColor"
    grounds = {"light": "rgb(243, 245, 247)", "dark": "rgb(19, 24, 29)"}
    assert browser.execute_script(style) == grounds[theme]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
