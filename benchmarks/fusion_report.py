"""The table of benchmarks/fusion.py: means over shops and seeds, variant by variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from trainer.evaluation.markdown_table import table

COLUMNS = (
    *("all auc", "seen auc", "held out auc", "all recall@10"),
    *("new all auc", "new seen auc", "new held out auc", "warm auc", "cold auc", "cold recall@10"),
)


class Result(TypedDict):
    """A fusion.json."""

    variant: str
    shop: str
    seed: int
    figures: dict[str, dict[str, float | None]]
    losses: dict[str, dict[str, float]]
    minutes: float


def mean(results: Sequence[Result], stage: str, key: str) -> float | None:
    """Return a figure's mean over the runs that have it."""
    found = [one["figures"][stage].get(key) for one in results]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def table_of(results: Sequence[Result]) -> str:
    """Return Markdown: generated shops together, every other shop by itself."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(one["shop"].rstrip("0123456789").rstrip("-"), []).append(one)
    lines: list[str] = []
    for name, found in groups.items():
        shops = sorted({one["shop"] for one in found})
        lines += [f"# {name}: {', '.join(shops)}", ""]
        for stage in ("stage 3", "stage 2"):
            lines += [f"## After {stage}", "", *_stage(found, stage)]
        lines += _losses(found)
    return "\n".join(lines) + "\n"


def _stage(results: Sequence[Result], stage: str) -> list[str]:
    by_variant: dict[str, list[Result]] = {}
    for one in results:
        by_variant.setdefault(one["variant"], []).append(one)
    rows = []
    for variant, found in by_variant.items():
        for score in _scores(found[0]["figures"][stage]):
            cells = [_cell(mean(found, stage, f"{score} {key}")) for key in COLUMNS]
            rows.append([variant, str(len(found)), score, *cells])
    return table(["variant", "runs", "score", *COLUMNS], rows)


def _scores(figures: Mapping[str, float | None]) -> list[str]:
    return [key.removesuffix(" all auc") for key in figures if _is_first(key)]


def _is_first(key: str) -> bool:
    return key.endswith(" all auc") and not key.endswith(" new all auc")


def _losses(results: Sequence[Result]) -> list[str]:
    names = ("itm", "qmm")
    rows = []
    for variant in dict.fromkeys(one["variant"] for one in results):
        found = [one["losses"] for one in results if one["variant"] == variant]
        for stage in ("1", "2", "3"):
            values = [[one[stage][name] for one in found if name in one[stage]] for name in names]
            cells = [_cell(float(np.mean(part)) if part else None) for part in values]
            rows.append([variant, stage, *cells])
    return [
        "## Matching losses, means over the last quarter of a stage's batches",
        "",
        *table(["variant", "stage", *names], rows),
    ]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
