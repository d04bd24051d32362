"""The messages that docs/faq.md quotes are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "faq.md").read_text("utf-8")
MESSAGES = re.findall(r'^\| "(.+?)" \|', PAGE, flags=re.MULTILINE)


@cache
def strings() -> tuple[str, ...]:
    """Return every string of both packages, with a line break for each value in it."""
    found = []
    for package in ("genfilt", "trainer"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [v.value if isinstance(v, ast.Constant) else "\n" for v in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return tuple(found)


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_of_the_code(message: str) -> None:
    parts = [part.strip(" ();") for part in message.split("...")]
    for part in parts:
        assert any(part in text for text in strings()), (part, message)
    assert max(map(len, parts)) > 10, "enough to be told from others"
