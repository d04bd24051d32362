"""SQL files of several statements, each with a name."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def named_statements(package: str, file: str) -> dict[str, str]:
    """Return the statements of an SQL file by their names.

    A line `-- name: NAME` begins a statement; the next such line, or the end of the file, ends it.

    Args:
        package: the package that the file lies in.
        file: its name.
    """
    text = (files(package) / file).read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    statements = (part.strip().removesuffix(";") for part in parts[2::2])
    return dict(zip(parts[1::2], statements, strict=True))
