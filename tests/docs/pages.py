"""Fenced blocks of the pages of docs/, by the heading that they stand under."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> dict[str, list[str]]:
    """Return the blocks of a language by the last heading before each."""
    text = (ROOT / page).read_text("utf-8")
    found: dict[str, list[str]] = {}
    heading = ""
    pattern = r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<body>.*?)^```$"
    for match in re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL):
        if match["heading"] is not None:
            heading = match["heading"]
        elif match["language"] == language:
            found.setdefault(heading, []).append(match["body"])
    return found
