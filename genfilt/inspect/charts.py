"""The numbers of small charts, ready to be drawn as SVG: no text of the catalogue enters here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 360, 170  # of the plot, in SVG units
BINS = 44
LOW, HIGH = -0.1, 1.0

Floats = npt.NDArray[np.float64]


def funnel(steps: Sequence[tuple[str, int]], *, logarithmic: bool = False) -> list[dict[str, Any]]:
    """Return {"name", "count", "width", "share"}: width in percent, share of the step before."""
    most = max(count for _, count in steps) or 1
    rows = []
    before: int | None = None
    for name, count in steps:
        size = math.log10(count + 1) / math.log10(most + 1) if logarithmic else count / most
        share = None if before is None else count / before if before else 0.0
        rows.append({"name": name, "count": count, "width": 100 * size, "share": _percent(share)})
        before = count
    return rows


def _percent(share: float | None) -> str | None:
    if share is None:
        return None
    percent = 100 * share
    if percent >= 10 or percent == 0:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent >= 0.001 else "< 0.001 %"


def histogram(name: str, any_pair: Floats, known: Floats, sigma: float | None) -> dict[str, Any]:
    """Return two outlines over [LOW, HIGH], each scaled to its own height, and sigma's place.

    What counts is where the two lie and where sigma cuts them: pairs that belong together are so
    few among all that one scale would flatten them.
    """
    return {
        "name": name,
        "any": _outline(any_pair),
        "known": _outline(known) if len(known) else None,
        "sigma": None if sigma is None else _x(sigma),
        "any_above": _share_above(any_pair, sigma),
        "known_above": _share_above(known, sigma),
    }


def _share_above(values: Floats, sigma: float | None) -> str | None:
    if sigma is None or not len(values):
        return None
    return _percent(float((values >= sigma).mean()))


def _outline(values: Floats) -> str:
    counts, edges = np.histogram(np.clip(values, LOW, HIGH - 1e-9), BINS, (LOW, HIGH))
    heights = HEIGHT - HEIGHT * 0.94 * counts / max(1, counts.max())
    points = [f"M{_x(edges[0])},{HEIGHT}"]
    for left, right, top in zip(edges[:-1], edges[1:], heights, strict=True):
        points.append(f"L{_x(left)},{top:.1f}L{_x(right)},{top:.1f}")
    return "".join([*points, f"L{_x(edges[-1])},{HEIGHT}Z"])


def _x(value: float) -> float:
    return round(WIDTH * (value - LOW) / (HIGH - LOW), 1)


def curve(found: dict[str, Any], sigma: float) -> dict[str, Any]:
    """Return an audit's precision with its band, its recall, and the current and best sigma."""
    rows = [
        (place, found["precision"][place], found["recall"][place], found["precision_ci"][place])
        for place in range(len(found["sigma"]))
    ]
    at = [(_cx(found["sigma"][place]), p, r, band) for place, p, r, band in rows]
    band = [(x, low, high) for x, p, _, (low, high) in at if p is not None and low is not None]
    best = found["best"]["sigma"]
    return {
        "precision": _path([(x, p) for x, p, _, _ in at if p is not None]),
        "recall": _path([(x, r) for x, _, r, _ in at if r is not None]),
        "band": _path([(x, high) for x, _, high in band] + [(x, low) for x, low, _ in band[::-1]]),
        "sigma": _cx(sigma),
        "best": None if best is None else _cx(best),
        "target": _cy(found["target_precision"]),
    }


CURVE_WIDTH, CURVE_HEIGHT = 760, 240


def _cx(value: float) -> float:
    return round(CURVE_WIDTH * min(max(value, 0.0), 1.0), 1)


def _cy(value: float) -> float:
    return round(CURVE_HEIGHT * (1 - value), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if n else 'M'}{x},{_cy(y)}" for n, (x, y) in enumerate(points))
