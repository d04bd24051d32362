from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.formats.delimited import read_delimited
from genfilt.ingest.readers import read_source, require_columns

KNOWN = ("product_id", "title", "image", "category", "split")


def rows(path: Path, content: str | bytes, **options: str) -> list[tuple[object, ...]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_delimited(path, known=KNOWN, **options)  # type: ignore[arg-type]
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz"])
def test_the_separator_is_found(tmp_path: Path, separator: str, name: str) -> None:
    text = (
        f'product_id{separator}title\n1{separator}"Red{separator} mug"\n2{separator}Cup, 5; a|b\n'
    )
    if separator in ",;|":
        text = text.replace("Cup, 5; a|b", '"Cup, 5; a|b"')
    content = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    assert rows(tmp_path / name, content) == [("1", f"Red{separator} mug"), ("2", "Cup, 5; a|b")]


@pytest.mark.parametrize(
    "text",
    [
        '"product_id";"title";"size; cm"\n1;Mug;3,5\n2;Cup;4,5\n',
        "sep=;\r\nproduct_id;title;price\r\n1;Mug;3,5\r\n2;Cup;4,5\r\n",
        "\ufeffproduct_id;title;price\n1;Mug;3,5\n2;Cup;4,5\n",
        "product_id;title;price\r1;Mug;3,5\n2;Cup;4,5\r\n",
        "product_id;title;price;;\n1;Mug;3,5;;\n\n   \n2;Cup;4,5;;\n",
        "product_id;title;price\n1;Mug;3,5;\n2;Cup;4,5;;\n",
    ],
)
def test_what_spreadsheets_write(tmp_path: Path, text: str) -> None:
    assert rows(tmp_path / "p.csv", text) == [("1", "Mug", "3,5"), ("2", "Cup", "4,5")]


def test_rows_that_begin_with_a_hash_are_data(tmp_path: Path) -> None:
    many = "".join(f"{n},Mug {n}\n" for n in range(3000))
    text = f"product_id,title\n#1,#red mug\n{many}# 2,Blue # mug\n"
    found = rows(tmp_path / "p.csv", text)
    assert found[0] == ("#1", "#red mug")
    assert found[-1] == ("# 2", "Blue # mug")
    assert len(found) == 3002


def test_quoted_values_span_lines(tmp_path: Path) -> None:
    text = 'product_id,title\n1,"Red\nmug, ""big"""\n2,"large, blue"\n'
    assert rows(tmp_path / "p.csv", text) == [("1", 'Red\nmug, "big"'), ("2", "large, blue")]
    assert rows(tmp_path / "p.csv", 'product_id,title\n1,"Red mug\nlarge, blue"\n') == [
        ("1", "Red mug\nlarge, blue")
    ]


def test_bare_quotes_are_characters(tmp_path: Path) -> None:
    tabs = 'product_id\ttitle\n1\t"Red\n2\tCup"\n3\t5" pan\n'
    assert rows(tmp_path / "p.tsv", tabs) == [("1", '"Red'), ("2", 'Cup"'), ("3", '5" pan')]
    assert rows(tmp_path / "p.csv", 'product_id,title\n1,"Best" mug\n2,5" pan\n') == [
        ("1", '"Best" mug'),
        ("2", '5" pan'),
    ]


def test_quotes_after_a_backslash(tmp_path: Path) -> None:
    text = 'product_id,title\n1,"5\\" pan, red"\n2,\\N\n3,images\\a.jpg\n'
    assert rows(tmp_path / "p.csv", text) == [
        ("1", '5" pan, red'),
        ("2", "\\N"),
        ("3", "images\\a.jpg"),
    ]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ("{0},Red mug, large,mugs", "4 values where the header has 3"),
        ("{0},Red mug", "2 values where the header has 3"),
        ('{0},"Red" mug,"a, b"', "a quote that is never closed"),
        ('{0},"Red mug,mugs', "a quote that is never closed"),
    ],
)
@pytest.mark.parametrize("total", [3, 70_000])
def test_a_row_that_does_not_fit_stops_with_its_line(
    tmp_path: Path, bad: str, cause: str, total: int
) -> None:
    lines = [f'{n},"Red mug, {n}",mugs' for n in range(total)]
    lines[total - 2] = bad.format(total - 2)
    with pytest.raises(UserError, match=f"line {total} .*{cause}.*--delimiter"):
        rows(tmp_path / "p.csv", "\n".join(["product_id,title,category", *lines]))


def test_options_name_separator_and_encoding(tmp_path: Path) -> None:
    text = "product_id^title\n1^Café\n"
    named = {"delimiter": "^", "encoding": "latin-1"}
    assert rows(tmp_path / "p.csv", text.encode("latin-1"), **named) == [("1", "Café")]
    for word, message in (("ab", "one character"), ('"', "one character")):
        with pytest.raises(UsageError, match=message):
            rows(tmp_path / "p.csv", text, delimiter=word)
    with pytest.raises(UsageError, match="--encoding must be"):
        rows(tmp_path / "p.csv", text, encoding="klingon")
    with pytest.raises(UserError, match="is not ascii: line 2"):
        rows(tmp_path / "p.csv", text, encoding="ascii")


def test_a_header_alone(tmp_path: Path) -> None:
    assert rows(tmp_path / "p.csv", "product_id,title\n") == []


def test_many_columns_and_long_runs_take_no_quadratic_time(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"product_id,{',' * 100_000}title\n1,{',' * 100_000}Mug\n")
    started = time.monotonic()
    table = read_source(str(path), known=KNOWN)
    assert table["title"].to_pylist() == ["Mug"]
    title = '"' + "\\" * 500_000
    assert rows(path, f"product_id,title\n1,{title}\n") == [("1", title)]
    assert time.monotonic() - started < 60  # the square of either length would take minutes


def test_a_message_cuts_long_column_names_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(",".join(f"{'n' * 10_000}{number}" for number in range(50)) + "\n")
    with pytest.raises(UserError, match="and 20 more") as caught:
        require_columns(read_source(str(path)), ["title"], "p.csv")
    assert len(str(caught.value)) < 3000


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    with pytest.raises(UserError, match="is a pipe or a device"):
        read_source(str(tmp_path / "p.csv"))
