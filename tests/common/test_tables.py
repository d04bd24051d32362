from __future__ import annotations

from rich.cells import cell_len

from genfilt.common.tables import MAX_LINES_PER_CELL, fields, table

ROWS = [
    {"what": "products", "count": 1200, "share": 0.25, "detail": "a b " * 30},
    {"what": "queries", "count": None, "share": 1.0, "detail": ""},
]


def test_a_table_in_a_pipe_is_as_wide_as_its_cells() -> None:
    assert table([{"id": "q1", "n": 1000, "ok": True}, {"id": "query", "n": None, "ok": None}]) == (
        "id         n   ok\n-----  -----  ---\nq1     1,000  yes\nquery\n"
    )
    assert table([]) == "(no rows)\n"
    assert max(map(len, table(ROWS).splitlines())) > 120


def test_a_table_on_a_terminal_wraps_its_longest_cells() -> None:
    text = table(ROWS, 60)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("a b") == 30
    assert "products  1,200   0.25  a b" in text
    assert table(ROWS[1:], 60) == table(ROWS[1:])


def test_rows_of_too_many_columns_become_lists_of_their_fields() -> None:
    row = {f"column {n}": "word " * 4 for n in range(9)}
    text = table([row, row], 80)
    assert len(text.split("\n\n")) == 2
    assert text.splitlines()[0] == "column 0  word word word word"


def test_wide_characters_take_two_cells() -> None:
    rows = [{"title": "電気ケトル ステンレス", "n": 1}, {"title": "kettle", "n": 22}]
    lines = table(rows).splitlines()
    assert len({cell_len(line) for line in lines}) == 1
    assert all(cell_len(line) <= 20 for line in table(rows, 20).splitlines())


def test_a_cell_is_one_line_without_control_characters() -> None:
    assert table([{"t": "a\x1b[31m\r\nb"}]).splitlines()[-1] == "a [31m  b"
    long = table([{"t": "word " * 1000}], 40).splitlines()
    assert len(long) == 2 + MAX_LINES_PER_CELL
    assert long[-1].endswith("…")


def test_one_answer_is_a_list_of_its_fields() -> None:
    assert fields({"stage": 2, "loss": 0.25, "parts": ("a", "b"), "none": None}) == (
        "stage  2\nloss   0.25\nparts  a, b\nnone\n"
    )
