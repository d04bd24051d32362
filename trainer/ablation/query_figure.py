"""Figure 5: one query's products in the vector spaces of several models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.arrays import Floats
from trainer.ablation.evidence import RunGroup
from trainer.ablation.models import FULL
from trainer.ablation.query_vectors import VECTORS, QueryVectors
from trainer.evaluation.plots import panels_of, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The paper's four panels, in its order.
PANELS = {
    "blip2": "BLIP-2 zero-shot",
    "blip2-tuned": "BLIP-2 fine-tuned",
    "without-genfilt": "without GenFilt",
    FULL: "Query-LIFE",
}
KINDS = (
    (0, "drawn", "#BBBBBB", 12),
    (-1, "irrelevant", "#D55E00", 34),
    (1, "relevant", "#0072B2", 34),
)
MARKERS = {"fused": ("M", "o"), "title": ("title", "^"), "image": ("picture", "s")}


def draw_query(group: RunGroup, stem: Path) -> Path | None:
    """Draw the shown query's products as each model of PANELS that was run sees them.

    To the right is the inner product with the query. Upwards is the part of a vector at right
    angles to the query, along the direction in which it varies most. Returns the PNG, or None
    where fewer than two of the models were run.
    """
    unit = group.units[0]
    shown = {key: name for key, name in PANELS.items() if (unit.run(key) / VECTORS).is_file()}
    shown = {key: name for key, name in shown.items() if key in group.keys}
    if len(shown) < 2:
        return None
    figure, panels = panels_of((3.3 * len(shown) + 0.6, 4.2), columns=len(shown), shared=True)
    for axes, (key, name) in zip(panels, shown.items(), strict=True):
        _panel(axes, QueryVectors.load(unit.run(key)))
        axes.set_title(name, fontsize=11)
        axes.set_xlabel("inner product with the query")
    panels[0].set_ylabel("main direction at right angles")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return save(figure, stem)[1]


def _panel(axes: Axes, vectors: QueryVectors) -> None:
    sides = {name: vectors.sides[name] for name in MARKERS if name in vectors.sides}
    along, across = project(
        vectors.query.astype(np.float64), np.concatenate(list(sides.values())).astype(np.float64)
    )
    parts = zip(np.split(along, len(sides)), np.split(across, len(sides)), strict=True)
    places = dict(zip(sides, parts, strict=True))
    for kind, of_kind, color, size in KINDS:
        mine = vectors.kinds == kind
        if not mine.any():
            continue
        for side, (x, y) in places.items():
            name, marker = MARKERS[side]
            axes.scatter(
                x[mine],
                y[mine],
                s=size,
                color=color,
                marker=marker,
                label=f"{name}, {of_kind} ({mine.sum()})",
                edgecolor="white",
                linewidth=0.5,
            )
    axes.scatter([1], [0], s=150, color="black", marker="*", label="the query")


def project(query: Floats, products: Floats) -> tuple[Floats, Floats]:
    """Return each product's (N, D) part along the unit query (D,), and across it.

    The latter is the first principal component of what is left, its sign fixed so that the
    largest part is positive.
    """
    query = query / np.linalg.norm(query)
    along = products @ query
    rest = products - along[:, None] * query
    _, _, directions = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)
    across = rest @ directions[0]
    return along, across * (1.0 if across[np.argmax(np.abs(across))] > 0 else -1.0)
