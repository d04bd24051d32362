"""Figures, as SVG and PNG; colours of Okabe and Ito, and a dash pattern each for print in grey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genfilt.common.arrays import Floats
from genfilt.common.atomic import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dashes = str | tuple[int, tuple[float, ...]]
# Okabe and Ito, distinct also for colour-blind readers, in the order: orange, sky blue, green,
# vermilion, blue, purple, black.
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#000000")
DASHES: tuple[Dashes, ...] = (
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
    figure, (axes,) = panels_of((6.4, 4.6))
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
        ncols=min(len(curves) + 1, 4),
        frameon=False,
        borderaxespad=0,
        columnspacing=1.2,
        fontsize=9,
    )
    return save(figure, stem)


def panels_of(
    size: tuple[float, float], columns: int = 1, *, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `size` in inches and its plain panels side by side, axes shared or not."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(1, columns, squeeze=False, sharex=shared, sharey=shared)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E3E3E3", linewidth=0.7)
        axes.set_axisbelow(True)
    return figure, panels


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure to stem.svg and stem.png; equal figures give equal files.

    Raises:
        UserError: a file cannot be written.
    """
    import matplotlib as mpl

    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png")]
    with mpl.rc_context({"svg.hashsalt": "genfilt", "svg.fonttype": "none"}):
        with replaced(paths[0]) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})
        with replaced(paths[1]) as part:
            figure.savefig(part, format="png", dpi=160)
    return paths
