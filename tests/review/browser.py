"""Debian's Chromium, driven by Selenium without any download."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60  # seconds for what an idle machine does in one
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)


@contextmanager
def browsing(downloads: Path) -> Iterator[Chrome]:
    """Run the browser, or skip where it is not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is missing: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = Chrome(service=Service(driver), options=options)
    browser.set_page_load_timeout(PATIENCE)
    try:
        yield browser
    finally:
        browser.quit()


class ReviewCommand:
    """A running `genfilt review`."""

    def __init__(self, db: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from genfilt.cli.app import main; main()", "review",
             "--no-browser", "--db", str(db), *options],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.lines: list[str] = []
        while not self.lines or "http" not in self.lines[-1]:
            line = self.process.stderr.readline()
            assert line, self.lines
            self.lines.append(line)

    @property
    def address(self) -> str:
        """Return the address with the token."""
        match = re.search(r"http\S+", self.lines[-1])
        assert match is not None
        return match[0]

    def kill(self) -> None:
        """End it without a chance to clean up."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def end(self) -> str:
        """Interrupt it as Ctrl-C does and return what it printed last."""
        self.process.send_signal(signal.SIGINT)
        _, text = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, text
        return text


class Page:
    """The review page in one tab."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def text(self, name: str) -> str:
        """Return the text of the element with this id."""
        return self.browser.find_element(By.ID, name).text

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        WebDriverWait(self.browser, PATIENCE, 0.02).until(lambda _: holds())

    def wait_for_pair(self) -> None:
        """Wait until the current pair can be answered."""
        self.wait(lambda: self.script("return !state.busy && state.drawn !== null"))

    def wait_for_progress(self, text: str) -> None:
        """Wait until the progress contains a text."""
        self.wait(lambda: text in self.text("progress"))

    def wait_for_download(self, path: Path) -> None:
        """Wait until a file is saved; Chromium first makes an empty one in its place."""
        self.wait(lambda: path.exists() and path.stat().st_size > 0)

    def pair(self) -> tuple[str, str]:
        """Return the ids of the pair on the page."""
        query_id, product_id = self.script("return [state.drawn.query_id, state.drawn.product_id]")
        return query_id, product_id

    def press(self, key: str) -> None:
        """Press a key without aiming at an element."""
        self.browser.switch_to.active_element.send_keys(key)

    def script(self, text: str):  # type: ignore[no-untyped-def]  # whatever the script returns
        """Run a script in the page."""
        return self.browser.execute_script(text)

    def width(self, name: str, width: int, folder: Path) -> tuple[int, int]:
        """Take a screenshot at a width; return the widths of content and window."""
        # A window has at least 500 pixels.
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        self.wait(lambda: self.script("return innerWidth") == width)
        self.browser.save_screenshot(str(folder / f"{name}.png"))
        content, window = self.script("return [document.documentElement.scrollWidth, innerWidth]")
        return content, window
