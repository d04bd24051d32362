from __future__ import annotations

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.columns import clean, unescape

ONE = pa.array(["1"])


def column(values: pa.Array | list[object], name: str) -> list[object]:
    table = pa.table({name: values, "category": ["kept"] * len(values)})
    return clean(table, "products", "p").column(name).to_pylist()  # type: ignore[no-any-return]


def test_ids_have_one_form() -> None:
    assert column(["108775015.0", " 007 ", "1.10", "a.0"], "product_id") == [
        "108775015", "007", "1.10", "a.0",
    ]  # fmt: skip
    assert column(pa.array([108775015.0, None, float("nan")]), "product_id") == [
        "108775015", None, None,
    ]  # fmt: skip
    assert column(pa.array([2**63 - 1]), "product_id") == [str(2**63 - 1)]


def test_missing_values_of_ids_and_texts() -> None:
    words = ["\\N", "NaN", "nan", "null", "", "  ", "<NA>"]
    assert column(words, "product_id") == [None] * len(words)
    assert column(["none", "None", "na"], "product_id") == ["none", "None", "na"]
    assert column(["none", "N/A"], "split") == [None, "N/A"]
    assert column(["\\N", "NaN", "null", "nan", " "], "title") == [None, None, "null", "nan", None]


def test_values_are_trimmed() -> None:
    assert column(["laptop      ", "\u00a0Tablet\t"], "title") == ["laptop", "Tablet"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Salt &amp; Pepper&#39;s", "Salt & Pepper's"),
        ("caf&eacute; &#x27;a&#x27;", "caf\u00e9 'a'"),
        ("A &amp;amp; B", "A & B"),
        ("Black&not White AT&T", "Black&not White AT&T"),
        ("a&nbsp;b", "a b"),
        ("R&D; x", "R&D; x"),
    ],
)
def test_entities_of_titles_are_decoded(title: str, expected: str) -> None:
    assert unescape(title) == expected
    assert column([title, "plain"], "title") == [expected, "plain"]


def test_blank_rows_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"product_id": ["1", " ", "3"], "title": ["a", "", "c"], "other": ["x"] * 3})
    rows = clean(table, "products", "p.csv")
    assert rows.column("product_id").to_pylist() == ["1", "3"]
    assert rows.number(1) == 3
    assert "p.csv: 1 blank rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([["a"]]), "lists or objects in the column title"),
        (pa.array([{"a": 1}]), "lists or objects in the column title"),
        (pa.array([b"\xff"]), "no UTF-8"),
        (pa.StringArray.from_buffers(1, *pa.array([b"\xff"]).buffers()[1:]), "no UTF-8"),
    ],
)
def test_what_is_no_text_is_named(values: pa.Array, message: str) -> None:
    with pytest.raises(UserError, match=message):
        clean(pa.table({"product_id": ONE, "title": values}), "products", "p")
