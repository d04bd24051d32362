"""Figures, as SVG and PNG; colours of Okabe and Ito, and a dash pattern each for print in grey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfilt.common.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart by eyes of every kind: orange, sky blue, green, vermilion, blue, purple, black.
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#000000")
DASHES: tuple[Any, ...] = (
    (0, (1, 1.2)),
    (0, (5, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    "solid",
    (0, (8, 2)),
    (0, (3, 1)),
    (0, (1, 3)),
)


def save_precision_recall(
    curves: dict[str, tuple[Floats, Floats, Floats]], stem: Path, base_rate: float
) -> list[Path]:
    """Draw precision against recall (the paper's Figure 4) to stem.svg and stem.png.

    curves: by name (precision (T,), recall (T,), threshold (T,)); base_rate is the share of
    positives, what a random order would reach.
    """
    figure, axes = _axes((6.4, 4.6))
    for place, (name, (precision, recall, _)) in enumerate(curves.items()):
        axes.step(
            recall,
            precision,
            where="post",
            label=name,
            color=COLORS[place % len(COLORS)],
            linestyle=DASHES[place % len(DASHES)],
            linewidth=2,
        )
    chance = f"random order, {base_rate:.2f}"
    axes.axhline(base_rate, color="#767676", linewidth=1, label=chance)
    axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=len(curves) + 1,
        frameon=False,
        borderaxespad=0,
        columnspacing=1.2,
        fontsize=9,
    )
    return save(figure, stem)


def _axes(size: tuple[float, float]) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10)
    return figure, axes


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure to stem.svg and stem.png; equal figures give equal files."""
    import matplotlib as mpl

    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png")]
    with mpl.rc_context({"svg.hashsalt": "genfilt", "svg.fonttype": "none"}):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=160)
    return paths
