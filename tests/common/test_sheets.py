from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genfilt.common.sheets import FORMULA_STARTS, LINE_BREAKS, shield, unshield, write_sheet

TEXTS = ["", "a", "=a", "-1", "'", "'=A", "''", "''=A", "' a", "@x", "\ta", "\t=A", "a\tb",
         " =A", "it's", "+1 \u202e", "'+", "2.0"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_is_read_as_it_was(text: str) -> None:
    cell = str(shield(text))
    assert not cell.startswith(FORMULA_STARTS)
    assert unshield(cell) == text


@given(st.text(alphabet="'=+-@\t\r\n\x0b\x1e\u2028 a\"", max_size=8))
def test_a_cell_is_read_as_it_was_but_for_its_line_breaks(text: str) -> None:
    cell = str(shield(text))
    assert not cell.startswith(FORMULA_STARTS)
    assert len(cell.splitlines()) <= 1
    assert unshield(cell) == text.translate(LINE_BREAKS)


def test_what_is_no_text_is_left_alone() -> None:
    assert shield(-1.5) == -1.5
    assert shield(None) is None


@pytest.mark.parametrize("break_", ["\r", "\n", "\r\n", "\x0b", "\u2028", "\x85"])
def test_a_line_break_in_a_title_starts_no_row_and_no_formula(tmp_path: Path, break_: str) -> None:
    path = tmp_path / "sheet.csv"
    title = f'Red mug{break_}=HYPERLINK("http://x.example")'
    write_sheet(path, ("id", "title"), [("1", title), ("=2", None)])
    lines = path.read_bytes().decode("utf-8-sig").splitlines()
    assert len(lines) == 3
    assert not any(line.startswith("=") for line in lines)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["id", "title"], ["1", title.translate(LINE_BREAKS)], ["'=2", ""]]
