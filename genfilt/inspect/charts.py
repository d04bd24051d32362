"""Coordinates of small SVG charts, without any text of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from genfilt.common.arrays import Floats

if TYPE_CHECKING:
    from genfilt.filter.precision_curve import Curve

WIDTH, HEIGHT = 360, 170  # of the plot, in SVG units
BINS = 44
LOW, HIGH = -0.1, 1.0

CURVE_WIDTH, CURVE_HEIGHT = 380, 200  # narrow, so that its text can be read on a phone


class FunnelStep(TypedDict):
    """A bar of a funnel."""

    name: str
    count: int
    width: float  # percent
    share: str | None  # of the step before


class Histogram(TypedDict):
    """Outlines of two distributions and the place of sigma."""

    name: str
    any: str
    known: str | None
    sigma: float | None
    any_above: str | None  # share beyond sigma
    known_above: str | None


class CurveChart(TypedDict):
    """Paths of an audit's curves, and the places of sigma, the best sigma and the target."""

    precision: str
    recall: str
    band: str
    sigma: float
    best: float | None
    target: float


def funnel(steps: Sequence[tuple[str, int]], *, logarithmic: bool = False) -> list[FunnelStep]:
    """Return a bar for each (name, count), as wide as its share of the largest count."""
    most = max(count for _, count in steps) or 1
    rows: list[FunnelStep] = []
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


def histogram(name: str, any_pair: Floats, known: Floats, sigma: float | None) -> Histogram:
    """Return two outlines over [LOW, HIGH], each scaled to its own height, and sigma's place.

    Each has its own height because relevant pairs are so few among all that one scale would
    flatten them.
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


def curve(found: Curve, best: float | None, target: float, sigma: float) -> CurveChart:
    """Return an audit's precision with its band and its recall.

    Args:
        found: the curves.
        best: the sigma that is proposed.
        target: the precision that it is proposed for.
        sigma: the current filter's.
    """
    rows = zip(
        map(_cx, found.sigma), found.precision, found.recall, found.precision_ci, strict=True
    )
    at = list(rows)
    band = [
        (x, low, high)
        for x, p, _, (low, high) in at
        if p is not None and low is not None and high is not None
    ]
    return {
        "precision": _path([(x, p) for x, p, _, _ in at if p is not None]),
        "recall": _path([(x, r) for x, _, r, _ in at if r is not None]),
        "band": _path([(x, high) for x, _, high in band] + [(x, low) for x, low, _ in band[::-1]]),
        "sigma": _cx(sigma),
        "best": None if best is None else _cx(best),
        "target": _cy(target),
    }


def _cx(value: float) -> float:
    return round(CURVE_WIDTH * min(max(value, 0.0), 1.0), 1)


def _cy(value: float) -> float:
    return round(CURVE_HEIGHT * (1 - value), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if n else 'M'}{x},{_cy(y)}" for n, (x, y) in enumerate(points))
