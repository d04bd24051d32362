from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from genfilt.common.console import complain, say, set_level, track


@pytest.fixture(autouse=True)
def usual_level() -> Iterator[None]:
    yield
    set_level(quiet=False, verbose=False)


def test_remarks_go_to_standard_error_and_none_when_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("one\x1b[2J")
    set_level(quiet=True, verbose=False)
    say("two")
    complain("three")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "one [2J\nthree\n"


def test_a_log_gets_plain_lines_and_none_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with track("titles", 10, done=4) as advance:
        advance(6, {"loss": 0.5})
    assert "titles: 10 of 10" in (text := capsys.readouterr().err)
    assert "loss 0.5" in text
    set_level(quiet=True, verbose=False)
    with track("titles", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with track("titles", 2) as advance:
            advance(2)
        text = ""
        while "2/2" not in text and select.select([parent], [], [], 10)[0]:
            text += os.read(parent, 100_000).decode()
    os.close(parent)
    assert "titles" in text
    assert "2/2" in text


def test_a_standard_error_that_takes_nothing_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", full)
    say("remark")
    with suppress(OSError):  # what it could not write
        full.close()
    monkeypatch.setattr(sys, "stderr", None)
    say("remark")
    with track("titles", 2) as advance:
        advance(2)
