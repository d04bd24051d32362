"""The tables and pictures of benchmarks/filter_quality.py, from its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RULES = ("paper", "calibrated", "calibrated with attributes")
CAPTIONS = ("embedded generators", "perfect type, colour", "perfect type, colour, gender")
CEILINGS = (0.104, 0.104, 0.583)  # of Luma, where type and colour, then gender too, are decided by
Rows = list[dict[str, Any]]


def tables(figures: Rows) -> str:
    """Return all tables as Markdown; catalogues of several seeds as mean (least to most)."""
    traps = ("near-duplicates", "titles that mislead", "wrong pictures", "brand-only queries")
    plain = [row for row in figures if row["part"] not in traps]
    hard = [row for row in figures if row["part"] in traps and row["captions"] == CAPTIONS[0]]
    best = [row for row in plain if row["rule"] == RULES[2]]
    recalls = [(rule, _of_rule(rule, _recall)) for rule in RULES if _has(figures, rule)]
    return "\n".join(
        [
            "Recall of the true pairs that no click or label holds, at precision >= 0.95:",
            "",
            *_table(plain, recalls),
            "",
            "What sigma promised and kept, calibrated with attributes:",
            "",
            *_table(best, PROMISES),
            "",
            "The share of relevant pairs of train products:",
            "",
            *_table([row for row in best if row["part"] == "train products"], SHARES),
            "",
            "The paper's rule at sigmas of its own:",
            "",
            *_table([row for row in plain if row["rule"] == RULES[0]], PAPER),
            "",
            "The traps, with the embedded generators, recall as above:",
            "",
            *_table(hard, recalls),
            "",
            "The audit's precision of train products, and what is true:",
            "",
            *_audits([row for row in figures if "audit" in row]),
        ]
    )


def _has(figures: Rows, rule: str) -> bool:
    return any(row["rule"] == rule for row in figures)


def _audits(figures: Rows) -> list[str]:
    """Return one line a shop, and how many intervals hold the true precision."""
    lines = ["| shop | captions | evidence | sigma | said | 95 % | true | corrections | holds |"]
    lines.append("|---|---|---|---:|---:|---|---:|---:|---|")
    held: dict[tuple[str, float], list[bool]] = {}
    wide: list[float] = []
    for row in figures:
        shop = f"{row['catalogue']} | {row['captions']} | {row['evidence']}"
        for sigma, said, low, high, true, _, count in row["audit"]:
            if true is None or said is None:
                lines.append(f"| {shop} | {sigma} | none | none | none | {count} | nothing |")
                continue
            held.setdefault((row["evidence"], sigma), []).append(low <= true <= high)
            wide += [high - low] if count >= 200 else []
            answer = "yes" if low <= true <= high else "no"
            interval = f"{low:.3f} to {high:.3f}"
            lines.append(
                f"| {shop} | {sigma} | {said:.3f} | {interval} | {true:.3f} | {count} | {answer} |"
            )
    sums = [
        f"{evidence}, sigma {sigma}: {sum(each)} of {len(each)} intervals hold the true precision."
        for (evidence, sigma), each in sorted(held.items())
    ]
    if wide:
        sums.append(f"Width from 200 corrections on: {min(wide):.3f} to {max(wide):.3f}.")
    return [*lines, "", *sums]


def _recall(row: dict[str, Any]) -> float:
    return float(row["recall"])


def _of_rule(rule: str, figure: Callable[[dict[str, Any]], float]) -> Callable[[Rows], list[float]]:
    return lambda rows: [figure(row) for row in rows if row["rule"] == rule]


def _each(*path: str | int) -> Callable[[Rows], list[float]]:
    def read(rows: Rows) -> list[float]:
        found = []
        for row in rows:
            value: Any = row
            for step in path:
                value = None if value is None or value == {} else _get(value, step)
            if value is not None:
                found.append(float(value))
        return found

    return read


def _get(value: Any, step: str | int) -> Any:
    return value.get(step) if isinstance(value, dict) else value[step]


PROMISES: list[tuple[str, Callable[[Rows], list[float]]]] = [
    ("precision at 0.9", _each("sigma 0.9", 0)),
    ("recall at 0.9", _each("sigma 0.9", 1)),
    ("pairs at 0.9", _each("sigma 0.9", 2)),
    ("best recall at a true 0.9", _each("recall at 0.9 precision")),
    ("auto sigma", _each("auto sigma")),
    ("its precision", _each("auto", 0)),
    ("its recall", _each("auto", 1)),
    ("error, pairs from 0.05 on", _each("error of candidates")),
]
SHARES: list[tuple[str, Callable[[Rows], list[float]]]] = [
    ("estimated", _each("base rate", 0)),
    ("from", _each("base rate", 2)),
    ("to", _each("base rate", 3)),
    ("true", _each("base rate", 1)),
]


PAPER: list[tuple[str, Callable[[Rows], list[float]]]] = [
    (f"{figure} at {sigma}", _each(f"sigma {sigma}", at))
    for sigma in (0.9, 0.8, 0.7)
    for at, figure in enumerate(("precision", "recall", "pairs"))
]


def _table(
    figures: Rows, columns: Sequence[tuple[str, Callable[[Rows], list[float]]]]
) -> list[str]:
    lines = [
        "| catalogue | pairs | captions | evidence | true pairs | "
        + " | ".join(n for n, _ in columns)
    ]
    lines = [lines[0] + " |", "|---|---|---|---|---:|" + "---:|" * len(columns)]
    for key in dict.fromkeys(_key(row) for row in figures):
        rows = [row for row in figures if _key(row) == key]
        counts = [row["true pairs"] for row in rows if row["rule"] == rows[0]["rule"]]
        cells = [_cell(read(rows), name.startswith("pairs")) for name, read in columns]
        lines.append(f"| {' | '.join(key)} | {sum(counts):,} | {' | '.join(cells)} |")
    return lines


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    names = (str(row[name]) for name in ("part", "captions", "evidence"))
    return str(row["catalogue"]).split()[0], *names


def _cell(values: list[float], whole: bool) -> str:
    if not values:
        return "none"
    digits = 0 if whole else 4 if max(values) < 0.05 else 3
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def draw(figures: Rows, folder: Path) -> None:
    """Draw the recall of each rule and the reliability diagram of Luma."""
    mine = [
        row
        for row in figures
        if row["catalogue"] == "Luma"
        and row["part"] == "all"
        and row["evidence"] == "clicks and labels"
    ]
    if mine:
        folder.mkdir(parents=True, exist_ok=True)
        _draw_recall(mine, folder / "sigma_recall.png")
        _draw_reliability(mine, folder / "sigma_reliability.png")


def _draw_recall(mine: Rows, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    names = _measured(mine)
    for place, rule in enumerate(rule for rule in RULES if _has(mine, rule)):
        heights = [_of_caption(mine, rule, name) for name in names]
        bars = axes.bar(np.arange(len(names)) + 0.27 * (place - 0.5), heights, 0.25, label=rule)
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    for at, name in enumerate(names):
        ceiling = CEILINGS[CAPTIONS.index(name)]
        label = "_" * bool(at) + "if only type and colour (and gender) decided"
        axes.hlines(ceiling, at - 0.42, at + 0.42, color="black", linestyle=":", label=label)
    axes.set_xticks(range(len(names)), [f"captions: {name}" for name in names], fontsize=8)
    axes.set_ylabel("recall at precision 0.95")
    axes.set_ylim(0, 0.9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _measured(mine: Rows) -> list[str]:
    """The captions that rows have, in the order of CAPTIONS."""
    return [name for name in CAPTIONS if any(row["captions"] == name for row in mine)]


def _of_caption(mine: Rows, rule: str, captions: str) -> float:
    found = [row["recall"] for row in mine if (row["rule"], row["captions"]) == (rule, captions)]
    return float(found[0]) if found else 0.0


def _draw_reliability(mine: Rows, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    names = [name for name in _measured(mine) if _has(mine, RULES[2])]
    plots = figure.subplots(1, max(len(names), 1), sharey=True, squeeze=False)[0]
    for axes, name in zip(plots, names, strict=False):
        drawn = [r["bins"] for r in mine if r["rule"] == RULES[2] and r["captions"] == name]
        said, seen, pairs = (np.array(column) for column in zip(*drawn[0], strict=True))
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        axes.scatter(said, seen, s=8 + 14 * np.log10(pairs), color="C2", zorder=3)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("probability that the rule gives", fontsize=8)
        axes.set_xlim(-0.04, 1.04)
        axes.set_ylim(-0.04, 1.04)
        axes.set_xticks((0, 0.5, 1))
        axes.set_aspect("equal")
    figure.axes[0].set_ylabel("share that is relevant", fontsize=8)
    figure.savefig(path, dpi=150)
