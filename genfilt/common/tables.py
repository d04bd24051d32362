"""Plain text tables, fitted to a terminal's width where there is one.

Written here rather than by rich: output in a pipe must not change with a library's version, and
rich measures and wraps each cell anew, which takes minutes where a query returns 100,000 rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size

Row = Mapping[str, object]

GAP = "  "
MIN_COLUMN_WIDTH = 12  # cells; where columns would get narrower, each row becomes a list
MAX_LINES_PER_CELL = 6


def table(rows: Sequence[Row], width: int | None = None) -> str:
    """Return rows that share their columns as lines of text, numbers to the right.

    Args:
        rows: the rows.
        width: of the terminal, to which long cells are wrapped; where even that is too narrow for
            the columns, each row is printed as a list of its fields. None: as wide as the cells.
    """
    if not rows:
        return "(no rows)\n"
    columns = list(rows[0])
    cells = [[text(row[column]) for column in columns] for row in rows]
    widths = [
        max(cell_len(name), *(cell_len(line[place]) for line in cells))
        for place, name in enumerate(columns)
    ]
    if width is not None:
        fitted = _fit(widths, width)
        if fitted is None:
            return "\n".join(fields(row, width) for row in rows)
        widths = fitted
    numeric = [
        all(isinstance(row[column], int | float | None) for row in rows) for column in columns
    ]
    lines = [_line(columns, widths, numeric), GAP.join("-" * size for size in widths)]
    lines += [_line(row, widths, numeric) for row in cells]
    return "\n".join(lines) + "\n"


def fields(row: Row, width: int | None = None) -> str:
    """Return one row as a list of its fields, a line each; long values are wrapped to the width."""
    name_width = max((cell_len(name) for name in row), default=0)
    lines = []
    for name, value in row.items():
        cell = text(value)
        parts = [cell]
        if width is not None:
            parts = _wrap(cell, max(MIN_COLUMN_WIDTH, width - name_width - len(GAP)))
        for place, part in enumerate(parts):
            label = set_cell_size("" if place else name, name_width)
            lines.append(f"{label}{GAP}{part}".rstrip())
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Return a value as a cell: no control characters, four decimals, thousands separated."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return ", ".join(text(part) for part in value)
    return "".join(c if c.isprintable() else " " for c in str(value))


def _fit(widths: Sequence[int], width: int) -> list[int] | None:
    """Return column widths that fit, the widest columns narrowed; None where none would."""
    fitted = list(widths)
    room = width - len(GAP) * (len(widths) - 1)
    while sum(fitted) > room:
        widest = max(fitted)
        if widest <= MIN_COLUMN_WIDTH:
            return None
        second = max((size for size in fitted if size < widest), default=MIN_COLUMN_WIDTH)
        count = fitted.count(widest)
        enough = widest - -(-(sum(fitted) - room) // count)
        target = max(second, enough, MIN_COLUMN_WIDTH)
        fitted = [target if size == widest else size for size in fitted]
    return fitted


def _line(words: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    """Return a row, on several lines where a cell is wider than its column."""
    parts = [
        [word] if cell_len(word) <= width else _wrap(word, width)
        for word, width in zip(words, widths, strict=True)
    ]
    lines = []
    for place in range(max(map(len, parts))):
        cells = [part[place] if place < len(part) else "" for part in parts]
        padded = [
            " " * (width - cell_len(cell)) + cell if right else set_cell_size(cell, width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def _wrap(cell: str, width: int) -> list[str]:
    """Return a cell cut into lines; those beyond MAX_LINES_PER_CELL are left out, marked so."""
    # textwrap counts characters: double width is assumed where the cell holds wide ones.
    characters = width if cell_len(cell) == len(cell) else max(1, width // 2)
    return textwrap.wrap(
        cell, characters, max_lines=MAX_LINES_PER_CELL, placeholder="…", drop_whitespace=True
    ) or [""]
