"""Figures of an ablation report: precision over recall, one query's products, training curves."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np

from genfilt.common.arrays import Floats
from trainer.ablation.evidence import RunGroup
from trainer.ablation.models import FULL, MODELS
from trainer.ablation.query_figure import draw_query
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.plots import COLORS, DASHES, Dashes, panels_of, save

GRID = np.linspace(0, 1, 201)
GREY = "#767676"
IN_FIGURE = {model.key for model in MODELS if model.in_figure}


class LineStyle(TypedDict):
    """How a line is drawn."""

    color: str
    linestyle: Dashes
    linewidth: float
    zorder: int


OURS: LineStyle = {"color": "#000000", "linestyle": "solid", "linewidth": 2.6, "zorder": 5}
STAGES = {1: "stage 1: title and picture", 2: "stage 2: clicks", 3: "stage 3: labels"}


def draw_all(group: RunGroup, folder: Path) -> dict[str, Path]:
    """Draw a group's figures into folder; return each PNG by the figure's name."""
    stem = folder / group.name
    scores = {name: (FULL, name) for name in ("Q->M", "Q->T", "Q->I", "Q->T+Q->I")}
    made = {
        "scores": _precision_recall(group, scores, Path(f"{stem}-scores")),
        "models": _precision_recall(group, _models(group), Path(f"{stem}-models")),
        "training": _training(group, Path(f"{stem}-training")),
    }
    embedding = draw_query(group, Path(f"{stem}-embedding"))
    return made if embedding is None else made | {"embedding": embedding}


def _models(group: RunGroup) -> dict[str, tuple[str, str]]:
    found = {}
    for key in group.keys:
        if key in IN_FIGURE:
            measure = group.widest(key)
            name = group.name_of(key).split(" (")[0]
            found[f"{name}, {measure}"] = (key, measure)
    return found


def mean_curve(group: RunGroup, key: str, measure: str) -> Floats:
    """Return precision (201,) at evenly spaced recalls, averaged over runs.

    At a recall that no threshold meets, the precision is that of the next larger one: what must
    be taken to find as much.
    """
    curves = []
    for one in group.judged(key, measure):
        benchmark = one.benchmark
        scores = one.scores.scorers()[measure](benchmark.query, benchmark.product)
        precision, recall, _ = precision_recall(scores, benchmark.positive)
        place = np.searchsorted(recall, GRID - 1e-12).clip(max=len(recall) - 1)
        curves.append(precision[place])
    mean: Floats = np.mean(curves, axis=0)
    return mean


def _precision_recall(group: RunGroup, lines: dict[str, tuple[str, str]], stem: Path) -> Path:
    figure, (axes,) = panels_of((7.6, 4.2))
    for place, (name, (key, measure)) in enumerate(lines.items()):
        style: LineStyle = {
            "color": COLORS[place - 1],
            "linestyle": DASHES[place - 1],
            "linewidth": 2,
            "zorder": 3,
        }
        axes.plot(
            GRID[1:],
            mean_curve(group, key, measure)[1:],
            label=name,
            **(style if place else OURS),
        )
    rate = np.mean([found.positive.mean() for found in group.benchmarks.values()])
    axes.axhline(rate, color=GREY, linewidth=1, label=f"random order, {rate:.2f}")
    axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return save(figure, stem)[1]


def _training(group: RunGroup, stem: Path) -> Path:
    stages = [stage for stage in STAGES if group.curves(FULL, stage)]
    figure, panels = panels_of((3.4 * max(len(stages), 1) + 1.6, 3.4), columns=max(len(stages), 1))
    names: dict[str, int] = {}
    for axes, stage in zip(panels, stages, strict=False):
        for name, values in group.curves(FULL, stage).items():
            place = names.setdefault(name, len(names))
            smooth = _smoothed(values)
            axes.plot(
                np.arange(len(values)) + 1,
                smooth,
                color=COLORS[place % len(COLORS)],
                linestyle=DASHES[place % len(DASHES)],
                linewidth=1.8,
                label=name.upper(),
            )
        axes.set_title(STAGES[stage], fontsize=11)
        axes.set_xlabel("batch")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("loss")
    found = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found.update(dict(zip(labels, handles, strict=True)))
    figure.legend(
        list(found.values()), list(found), loc="outside right center", frameon=False, fontsize=9
    )
    return save(figure, stem)[1]


def _smoothed(values: Floats) -> Floats:
    """Return a running mean over a twentieth of the batches, shorter at the ends."""
    width = max(1, len(values) // 20)
    kernel = np.ones(width)
    counted = np.convolve(np.ones(len(values)), kernel, mode="same")
    smooth: Floats = np.convolve(values, kernel, mode="same") / counted
    return smooth
