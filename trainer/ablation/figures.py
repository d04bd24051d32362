"""Figures of an ablation report: precision over recall, one query's products, training curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from genfilt.common.arrays import Floats
from trainer.ablation.evidence import RunGroup
from trainer.ablation.models import FULL, MODELS
from trainer.ablation.runs import VECTORS
from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.plots import COLORS, DASHES, Dashes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
KINDS = (
    (0, "drawn from the catalogue", "#BBBBBB", "o", 18),
    (-1, "labelled irrelevant", "#D55E00", "X", 60),
    (1, "relevant", "#0072B2", "o", 52),
)
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
    if {FULL, "without-genfilt"} <= set(group.keys):
        made["embedding"] = _embedding(group, Path(f"{stem}-embedding"))
    return made


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
    figure, (axes,) = _figure((7.6, 4.2))
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


def _embedding(group: RunGroup, stem: Path) -> Path:
    """Draw one query's products, as seen by the model with GenFilt and by the one without.

    To the right is the score itself, Q.M. Upwards is the part of M that stands at right angles to
    Q, along the direction in which it varies most: no neighbourhood is invented.
    """
    unit = group.units[0]
    figure, panels = _figure((8.8, 4.4), columns=2, shared=True)
    for axes, key, title in zip(
        panels, ("without-genfilt", FULL), ("without GenFilt", "with GenFilt"), strict=True
    ):
        with np.load(unit.run(key) / VECTORS) as kept:
            across, up = project(kept["query"], kept["fused"])
            kinds = kept["kinds"]
        for kind, name, color, marker, size in KINDS:
            mine = kinds == kind
            axes.scatter(
                across[mine],
                up[mine],
                s=size,
                color=color,
                marker=marker,
                label=f"{name} ({mine.sum()})",
                edgecolor="white",
                linewidth=0.6,
            )
        axes.scatter([1], [0], s=170, color="black", marker="*", label="the query")
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("score Q·M")
        axes.set_xlim(right=1.06)
    panels[0].set_ylabel("main direction at right angles to Q")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return save(figure, stem)[1]


def project(query: Floats, products: Floats) -> tuple[Floats, Floats]:
    """Return each product's (N, D) part along the unit query (D,), and across it.

    The latter is the first principal component of what is left, its sign fixed so that the
    largest part is positive.
    """
    along = products @ query
    rest = products - along[:, None] * query
    _, _, directions = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)
    across = rest @ directions[0]
    return along, across * (1.0 if across[np.argmax(np.abs(across))] > 0 else -1.0)


def _training(group: RunGroup, stem: Path) -> Path:
    stages = [stage for stage in STAGES if group.curves(FULL, stage)]
    figure, panels = _figure((3.4 * max(len(stages), 1) + 1.6, 3.4), columns=max(len(stages), 1))
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


def _figure(
    size: tuple[float, float], columns: int = 1, *, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(1, columns, squeeze=False, sharex=shared, sharey=shared)[0])
    for axes in panels:
        _plain(axes)
    return figure, panels


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
