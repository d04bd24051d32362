"""Two small models, their sheet and answers to it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from trainer.human_eval.blind_draw import Key, KeyRow

HOSTILE = (
    '=HYPERLINK("http://127.0.0.1","x")',
    '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "{{ rows }}\u202egnp.exe\x00",
)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, verdicts: Sequence[str], to: Path, judge: str = "") -> Path:
    """Fill a sheet as a spreadsheet program of another country saves it."""
    rows = [
        row | {"verdict": verdict, "judge": judge}
        for row, verdict in zip(lines(path), verdicts, strict=True)
    ]
    with to.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return to


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def random_key(rng: np.random.Generator, queries: int) -> Key:
    rows = []
    for q in range(queries):
        for n in range(12):
            ranks = ((n + 1 if n < 8 else None), (n - 3 if n >= 4 else None))
            rows.append(KeyRow(f"{q}x{n}", f"q{q}", f"p{int(rng.integers(99))}", ranks))
    return Key(("a", "b"), rows)
