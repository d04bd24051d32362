"""Markdown report of the experiment, which ends in three sentences for a team."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genfilt.common.atomic import write_text
from genfilt.common.errors import UserError
from trainer.ablation.compare import Mean
from trainer.ablation.effect.arms import ARMS
from trainer.ablation.effect.effect_plan import RESULT, EffectResult
from trainer.ablation.effect.predictions import FIGURE, LABELS, paired, predictions, signed
from trainer.evaluation.markdown_table import table

TRUTH_FIGURES = tuple(
    f"{kind} {score} {name}"
    for score in ("Q->M", "Q->T", "Q->I")
    for kind in ("warm", "cold")
    for name in ("auc", "recall")
)
MUCH_KNOWN, FEW_NEGATIVES = 0.3, 0.5  # beyond them little is left for corrections to mend


def results_in(out: Path) -> list[EffectResult]:
    """Return the finished runs of a folder.

    Raises:
        UserError: there is none.
    """
    paths = sorted(out.glob(f"*/seed-*/batch-*/*/{RESULT}"))
    if not paths:
        raise UserError(f"{out} has no finished run; run trainer ablate --design genfilt.")
    return [EffectResult.read(path) for path in paths]


def group_of(shop: str) -> str:
    """Return the name under which shops are reported together: "one-click" of one-click-41."""
    return re.sub(r"[-_]?\d+$", "", shop) or shop


def write_effect_report(out: Path, path: Path) -> list[str]:
    """Write the report of OUT's finished runs and return its three closing sentences.

    Raises:
        UserError: OUT has no finished run, or the report cannot be written.
    """
    results = results_in(out)
    groups = {group_of(one.shop): [] for one in results}  # type: dict[str, list[EffectResult]]
    for one in results:
        groups[group_of(one.shop)].append(one)
    lines = ["# What corrections bring", "", *_legend()]
    closing: list[str] = []
    for name, found in groups.items():
        lines += _section(name, found)
        closing = sentences(found)
        lines += [*closing, ""]
    write_text(path, "\n".join(lines).rstrip() + "\n", "--report")
    return closing


def _legend() -> list[str]:
    rows = [[arm.key, arm.description] for arm in ARMS]
    return [
        *table(["arm", "corrections"], rows),
        "Every arm starts from one stage 1 and sees the same rows in the same order. Figures are "
        "means over shops and seeds, ± half a 95 % t interval from three on; differences are "
        "paired. Warm: train queries with train products, without pairs that a verdict holds. "
        "Cold: with products of another split. Recall: of relevant pairs without a verdict, in "
        "the first ten. Labels: the AUC on the split's labels.",
        "",
    ]


def _section(name: str, results: Sequence[EffectResult]) -> list[str]:
    lines = [f"## {name}", ""]
    for size in sorted({one.batch_size for one in results}, reverse=True):
        found = [one for one in results if one.batch_size == size]
        lines += [f"### Batches of {size}", "", *_arms(found), *_differences(found)]
    rows = [[one.statement, one.found, one.conclusion] for one in predictions(results)]
    lines += ["### Predictions", "", *table(["prediction", "found", "conclusion"], rows)]
    run = {one.arm for one in results}
    missing = [arm.key for arm in ARMS if arm.key not in run]
    if missing:
        lines += [f"Not run: {', '.join(missing)}.", ""]
    minutes = sum(one.minutes for one in results)
    return [*lines, f"{len(results)} runs, {minutes:.0f} minutes.", ""]


def _arms(results: Sequence[EffectResult]) -> list[str]:
    rows: list[list[object]] = []
    for arm in ARMS:
        mine = [one for one in results if one.arm == arm.key]
        if mine:
            rows.append(
                [
                    arm.key,
                    f"{np.mean([one.pairs for one in mine]):.0f}",
                    Mean.of([one.known_share for one in mine]),
                    Mean.of([one.false_negatives for one in mine]),
                ]
            )
    heads = ["arm", "pairs", "known share", "false negatives a row"]
    return table(heads, rows)


def _differences(results: Sequence[EffectResult]) -> list[str]:
    figures = [name for name in (*TRUTH_FIGURES, LABELS) if any(name in r.figures for r in results)]
    rows: list[list[object]] = []
    for figure in figures:
        row: list[object] = [figure]
        for arm in ARMS:
            mine = [one.figures.get(figure) for one in results if one.arm == arm.key]
            if mine:
                gap = paired(results, arm.key, "none", figure) if arm.key != "none" else None
                above = "" if gap is None else f" ({signed(gap)})"
                row.append(f"{Mean.of(mine)}{above}")
        rows.append(row)
    run = {one.arm for one in results}
    return table(["figure (to none)", *(arm.key for arm in ARMS if arm.key in run)], rows)


def sentences(results: Sequence[EffectResult]) -> list[str]:
    """Return known share, false negatives a row, and what GenFilt brought and may still bring."""
    size = max(one.batch_size for one in results)
    largest = [one for one in results if one.batch_size == size]
    truth = any(FIGURE in one.figures for one in largest)
    known = float(np.mean([one.known_share for one in largest]))
    basis = "relevant train pairs" if truth else "train pairs known or found to be relevant"
    before, after = (_negatives(largest, key) for key in ("none", "found"))
    figure = FIGURE if truth else LABELS
    gain = paired(largest, "found", "none", figure)
    return [
        f"Your log holds {known:.0%} of the {basis}.",
        f"In random batches of {size} rows, {_text(before)} products a row count as irrelevant "
        f"although they are not, and {_text(after)} once corrections are in the mask.",
        f"GenFilt changed the AUC of Q->M ({figure.rsplit(' ', 2)[0]}) by "
        f"{'an unknown amount' if gain is None else _gain(gain)}; {_outlook(known, before)}",
    ]


def _negatives(results: Sequence[EffectResult], arm: str) -> float | None:
    found = [one.false_negatives for one in results if one.arm == arm]
    return float(np.mean(found)) if found else None


def _text(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.1f}"


def _gain(gain: Mean) -> str:
    runs = "run" if gain.runs == 1 else "runs"
    return f"{signed(gain)} ({gain.runs} {runs})"


def _outlook(known: float, negatives: float | None) -> str:
    if known > MUCH_KNOWN or (negatives is not None and negatives < FEW_NEGATIVES):
        return "little more is to be expected here, since the log knows most of what is relevant."
    return "more is to be expected from larger batches and from a sigma that finds more pairs."
