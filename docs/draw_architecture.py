"""Draws docs/architecture.svg: which command writes which tables, and which tables become masks.

python docs/draw_architecture.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

COLORS = {"command": "#0072B2", "table": "#F4F1DE", "trainer": "#D55E00", "model": "#FBE3D6"}
BOX_HEIGHT = 0.62
COLUMN_WIDTH = 3.6


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture: its kind decides the colour."""

    kind: str
    column: float
    row: float
    lines: tuple[str, ...]
    width: float = 3.0

    @property
    def height(self) -> float:
        """Its height in the picture's units."""
        return BOX_HEIGHT + 0.3 * (len(self.lines) - 1)

    @property
    def left(self) -> float:
        """Its left edge."""
        return self.column * COLUMN_WIDTH

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return -self.row


BOXES = {
    "ingest": Box("command", 0, 0, ("genfilt ingest",), 2.2),
    "extract": Box("command", 0, 1.6, ("genfilt extract",), 2.2),
    "filter": Box("command", 0, 3.4, ("genfilt filter",), 2.2),
    "inspect": Box("command", 0, 5.6, ("audit, report, sql,", "explain, review"), 2.2),
    "data": Box("table", 1, 0, ("products, queries", "clicks, labels, reviews")),
    "texts": Box("table", 1, 1.6, ("attributes, captions", "generator_states, failures")),
    "vectors": Box("table", 1, 3.0, ("features, vectors", "query_no, product_no")),
    "candidates": Box("table", 1, 4.2, ("qp_candidates, it_candidates", "filters, filter_fits")),
    "corrections": Box("table", 1, 5.6, ("verdicts, qp_corrections", "it_corrections, positives")),
    "masks": Box("model", 2, 4.9, ("masks of a batch", "QIC, QTC, QMC; ITC"), 2.8),
    "losses": Box("model", 2, 3.4, ("losses: eq. 1 to 4", "positives from the masks"), 2.8),
    "model": Box("model", 2, 1.7, ("Query-LIFE", "score = Q.M"), 2.8),
    "fit": Box("trainer", 3, 3.4, ("trainer fit", "--stage 1, 2, 3"), 2.2),
    "evaluate": Box("trainer", 3, 1.7, ("trainer evaluate,", "ablate, export, judge"), 2.7),
}
ARROWS = (
    ("ingest", "data"),
    ("extract", "texts"),
    ("data", "texts"),
    ("texts", "vectors"),
    ("filter", "vectors"),
    ("filter", "candidates"),
    ("vectors", "candidates"),
    ("candidates", "corrections"),
    ("corrections", "inspect"),
    ("corrections", "masks"),
    ("masks", "losses"),
    ("losses", "model"),
    ("fit", "losses"),
    ("model", "evaluate"),
)


def draw_box(axes: Axes, box: Box) -> None:
    """Draw a box and its lines of text."""
    dark = box.kind in ("command", "trainer")
    patch = FancyBboxPatch(
        (box.left, box.middle - box.height / 2),
        box.width,
        box.height,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=COLORS[box.kind],
        edgecolor="#33415C",
        linewidth=1.0,
    )
    axes.add_patch(patch)
    axes.text(
        box.left + box.width / 2,
        box.middle,
        "\n".join(box.lines),
        ha="center",
        va="center",
        fontsize=9.5,
        color="white" if dark else "#1B1B1E",
        weight="bold" if dark else "normal",
    )


def ends(first: Box, second: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where an arrow between two boxes starts and ends: at facing sides."""
    if abs(first.column - second.column) < 0.5:
        down = first.row < second.row
        sign = -1 if down else 1
        x = first.left + first.width / 2
        return (x, first.middle + sign * first.height / 2), (
            x,
            second.middle - sign * second.height / 2,
        )
    right = first.column < second.column
    start = first.left + (first.width if right else 0)
    stop = second.left + (0 if right else second.width)
    return (start, first.middle), (stop, second.middle)


def draw(path: Path) -> None:
    """Draw the whole picture into an SVG file, the same bytes each time."""
    mpl.rcParams |= {"svg.hashsalt": "genfilt", "svg.fonttype": "none"}
    figure, axes = plt.subplots(figsize=(11.5, 6.2))
    for name, other in ARROWS:
        start, stop = ends(BOXES[name], BOXES[other])
        arrow = FancyArrowPatch(
            start, stop, arrowstyle="-|>", mutation_scale=12, color="#33415C", linewidth=1.1
        )
        axes.add_patch(arrow)
    for box in BOXES.values():
        draw_box(axes, box)
    headings = ("genfilt's commands", "one DuckDB file", "in the trainer", "trainer's commands")
    for column, heading in enumerate(headings):
        width = 3.0 if column == 1 else 2.4
        axes.text(column * COLUMN_WIDTH + width / 2, 0.85, heading, ha="center", fontsize=11)
    axes.set_xlim(-0.2, 3 * COLUMN_WIDTH + 2.6)
    axes.set_ylim(-6.5, 1.2)
    axes.axis("off")
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).with_name("architecture.svg"))
