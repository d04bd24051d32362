from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from genfilt.common.html import plain, render


def test_plain_text() -> None:
    assert plain("a\x00b\n\tc\u202ed") == "a b c d"
    assert plain("👩\u200d👧 é  ü") == "👩\u200d👧 é ü"
    assert plain("x" * 1000, 10) == "x" * 9 + "…"
    assert plain(None) == ""


def test_values_are_escaped_and_a_missing_one_is_an_error() -> None:
    rows = [{"query": "<b>&\"'", "title": "t", "query_id": "q", "product_id": "p",
             "thumbnail": None}]  # fmt: skip
    page = render("genfilt.inspect", "sheet.html.jinja",
                  {"rows": rows, "sheet": "<i>.csv", "title": "<s>"})  # fmt: skip
    assert "&lt;b&gt;&amp;&#34;&#39;" in page
    assert "<i>.csv" not in page
    assert "<s>" not in page
    with pytest.raises(UndefinedError):
        render("genfilt.inspect", "sheet.html.jinja", {"rows": rows})
