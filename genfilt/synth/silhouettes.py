"""Silhouettes of product types, as shapes.toml describes them."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layer:
    """One painted outline: a closed polygon, or a line of some width, on a grid of 100 x 100."""

    paint: str
    points: tuple[Point, ...]
    width: float = 0.0


def _smooth(points: list[Point], closed: bool) -> list[Point]:
    """Return a Catmull-Rom curve through the points."""
    count = len(points)
    spans = range(count if closed else count - 1)
    if closed:
        around = [points[-1], *points, points[0], points[1]]
    else:
        around = [points[0], *points, points[-1]]
    curve: list[Point] = []
    for span in spans:
        a, b, c, d = around[span : span + 4]
        for step in range(8):
            t = step / 8
            weights = (
                -0.5 * t + t * t - 0.5 * t**3,
                1 - 2.5 * t * t + 1.5 * t**3,
                0.5 * t + 2 * t * t - 1.5 * t**3,
                -0.5 * t * t + 0.5 * t**3,
            )
            x, y = (
                sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True))
                for axis in (0, 1)
            )
            curve.append((x, y))
    return curve if closed else [*curve, points[-1]]


def _oval(center: Point, radii: Point) -> list[Point]:
    angles = [2 * math.pi * step / 40 for step in range(40)]
    return [
        (center[0] + radii[0] * math.cos(a), center[1] + radii[1] * math.sin(a)) for a in angles
    ]


def _box(low: Point, high: Point, radius: float) -> list[Point]:
    """Return a rectangle with rounded corners."""
    corners = [
        (high[0] - radius, high[1] - radius, 0.0),
        (low[0] + radius, high[1] - radius, 0.5),
        (low[0] + radius, low[1] + radius, 1.0),
        (high[0] - radius, low[1] + radius, 1.5),
    ]
    return [
        (
            x + radius * math.cos(math.pi * (start + step / 12)),
            y + radius * math.sin(math.pi * (start + step / 12)),
        )
        for x, y, start in corners
        for step in range(7)
    ]


def parse_layer(line: str) -> list[Layer]:
    """Return the layers of a line of shapes.toml: `paint shape [number] points... [mirror]`."""
    paint, shape, *rest = line.split()
    mirrored = rest[-1] == "mirror"
    words = rest[:-1] if mirrored else rest
    pairs = [(float(x), float(y)) for x, y in (word.split(",") for word in words if "," in word)]
    numbers = [float(word) for word in words if "," not in word]
    number = numbers[0] if numbers else 0.0
    outlines: dict[str, Callable[[], list[Point]]] = {
        "poly": lambda: pairs,
        "blob": lambda: _smooth(pairs, closed=True),
        "line": lambda: pairs,
        "curve": lambda: _smooth(pairs, closed=False),
        "hoop": lambda: [*_oval(pairs[0], pairs[1]), *_oval(pairs[0], pairs[1])[:1]],
        "oval": lambda: _oval(pairs[0], pairs[1]),
        "box": lambda: _box(pairs[0], pairs[1], number),
    }
    points = tuple(outlines[shape]())
    layer = Layer(paint, points, number if shape in ("line", "curve", "hoop") else 0.0)
    if not mirrored:
        return [layer]
    return [layer, Layer(paint, tuple((100 - x, y) for x, y in points), layer.width)]


@cache
def silhouettes() -> dict[str, list[Layer]]:
    """Return the layers of each type, from the back to the front."""
    raw = tomllib.loads((files(__package__) / "shapes.toml").read_text(encoding="utf-8"))
    return {
        name: [
            layer for line in shape["layers"].strip().splitlines() for layer in parse_layer(line)
        ]
        for name, shape in raw.items()
    }
