"""Answers on standard output as a table, JSON or CSV, and files of the same."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfilt.common.atomic import replaced

if TYPE_CHECKING:
    import pyarrow as pa


class OutputFormat(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def show(rows: Sequence[Mapping[str, Any]], form: OutputFormat) -> None:
    """Print rows that share their columns."""
    if form is OutputFormat.json:
        text = json.dumps(list(rows), ensure_ascii=False, indent=2, default=str) + "\n"
    elif form is OutputFormat.csv:
        text = _csv(rows)
    else:
        text = _table(rows)
    _write(text)


def show_one(answer: Mapping[str, Any]) -> None:
    """Print one answer of several parts as JSON."""
    _write(json.dumps(answer, ensure_ascii=False, indent=2, default=str) + "\n")


def _write(text: str) -> None:
    # Titles hold any character, and a terminal that cannot show one must not end the command.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "(no rows)\n"
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [
        max(len(name), *(len(line[place]) for line in cells)) for place, name in enumerate(columns)
    ]
    numeric = [
        all(isinstance(row[column], int | float | None) for row in rows) for column in columns
    ]

    def line(words: Sequence[str]) -> str:
        padded = [
            word.rjust(width) if right else word.ljust(width)
            for word, width, right in zip(words, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(columns), rule, *map(line, cells)]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return "".join(c if c.isprintable() else " " for c in str(value))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write an Arrow table as a Parquet file, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow.parquet as pq

    with replaced(path) as part:
        pq.write_table(table, part)
