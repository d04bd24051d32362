"""Draws a product's picture from its silhouette: one sees type, colour and pattern."""

import math
import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from genfilt.synth.listings import Look
from genfilt.synth.vocabulary import RGB, load_vocabulary

SIDE = 224
_OVERSAMPLE = 2
_CANVAS = SIDE * _OVERSAMPLE
_FIXED: dict[str, RGB] = {
    "ink": (34, 34, 38),
    "screen": (24, 30, 44),
    "glare": (74, 96, 128),
    "steel": (176, 180, 186),
    "wood": (158, 112, 70),
    "white": (252, 252, 252),
    "paper": (240, 232, 214),
    "gem": (120, 214, 232),
}
_TONES = {"main": 1.0, "light": 1.22, "shade": 0.84, "deep": 0.62}

_WAIST = {"women": 0.18, "kids": -0.05}
"""How much narrower a garment is at half its height than the silhouette."""
_WORN = {"t_shirt", "hoodie", "jacket", "shirt"}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layer:
    """One painted outline: a closed polygon, or a line of some width, on a grid of 100 x 100."""

    paint: str
    points: tuple[Point, ...]
    width: float = 0.0


def _smooth(points: list[Point], closed: bool) -> list[Point]:
    """A Catmull-Rom curve through the points."""
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
    """A rectangle with rounded corners."""
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
    """The layers of one line of shapes.toml: `paint shape [number] points... [mirror]`."""
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
def _shapes() -> dict[str, list[Layer]]:
    raw = tomllib.loads((files(__package__) / "shapes.toml").read_text(encoding="utf-8"))
    return {
        name: [
            layer for line in shape["layers"].strip().splitlines() for layer in parse_layer(line)
        ]
        for name, shape in raw.items()
    }


class _Pose:
    """Where a point of the grid lies on the canvas: the style's cut, then the listing's pose."""

    def __init__(self, look: Look) -> None:
        cut, pose = random.Random(look.cut_seed), random.Random(look.pose_seed)
        self._stretch = (cut.uniform(0.93, 1.07), cut.uniform(0.93, 1.07))
        self._waist = _WAIST.get(look.gender or "", 0.0) if look.type in _WORN else 0.0
        scale = pose.uniform(0.84, 0.98) * _CANVAS / 100 * (0.86 if look.gender == "kids" else 1.0)
        angle = math.radians(pose.uniform(-5, 5))
        self._turn = (scale * math.cos(angle), scale * math.sin(angle))
        self._shift = [_CANVAS / 2 + pose.uniform(-0.03, 0.03) * _CANVAS for _ in range(2)]
        self._flip = -1 if pose.random() < 0.5 else 1
        self.scale = scale

    def __call__(self, point: Point) -> Point:
        x, y = point[0] - 50, point[1] - 50
        x *= 1 - self._waist * math.exp(-((y / 18) ** 2))
        x, y = x * self._stretch[0] * self._flip, y * self._stretch[1]
        cosine, sine = self._turn
        return (
            self._shift[0] + x * cosine - y * sine,
            self._shift[1] + x * sine + y * cosine,
        )


def _shaded(color: RGB, by: float) -> RGB:
    """The colour lighter or darker; a very dark one is lifted so that its folds show."""
    if by != 1.0 and sum(color) < 190:
        by, lift = 1.0, {0.84: 16, 0.62: 34}.get(by, 46)
    else:
        lift = 0
    r, g, b = (max(0, min(255, round(channel * by) + lift)) for channel in color)
    return (r, g, b)


def _jittered(color: RGB, rng: random.Random) -> RGB:
    """The shade of this dye and lamp: up to 5 % lighter or darker, a little warmer or cooler."""
    light, warm = rng.uniform(0.95, 1.05), rng.uniform(-4, 4)
    r, g, b = color
    return _shaded((round(r + warm), g, round(b - warm)), light) if sum(color) >= 190 else color


@cache
def _tile(pattern: str) -> Image.Image:
    """A pattern as a mask (2 C, 2 C) of which a look takes a window of (C, C)."""
    side, pitch = 2 * _CANVAS, _CANVAS // 14
    tile = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(tile)
    for x in range(0, side, pitch):
        if pattern in ("striped", "checked"):
            pen.rectangle((0, x, side, x + pitch * 0.42), fill=255 if pattern == "striped" else 150)
        for y in range(0, side, pitch):
            _motif(pen, pattern, x + (pitch // 2 if (y // pitch) % 2 else 0), y, pitch)
    if pattern == "checked":
        across = tile.transpose(Image.Transpose.ROTATE_90)
        return ImageChops.add(tile, across.point(lambda value: value * 105 // 150))
    return tile


def _motif(pen: ImageDraw.ImageDraw, pattern: str, x: int, y: int, pitch: int) -> None:
    if pattern == "dotted":
        radius = pitch * 0.26
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    elif pattern == "floral" and (x // pitch + y // pitch) % 2 == 0:
        petal, reach = pitch * 0.27, pitch * 0.34
        for turn in range(5):
            px = x + reach * math.cos(turn * 2 * math.pi / 5)
            py = y + reach * math.sin(turn * 2 * math.pi / 5)
            pen.ellipse((px - petal, py - petal, px + petal, py + petal), fill=255)
        heart = pitch * 0.15
        pen.ellipse((x - heart, y - heart, x + heart, y + heart), fill=60)


@cache
def _floor() -> Image.Image:
    """The soft shadow under a product: a mask (C, C)."""
    small = Image.new("L", (56, 56), 0)
    ImageDraw.Draw(small).ellipse((9, 44, 47, 52), fill=90)
    blurred = small.filter(ImageFilter.GaussianBlur(2.5))
    return blurred.resize((_CANVAS, _CANVAS), Image.Resampling.BILINEAR)


@cache
def _light() -> Image.Image:
    """Light from above: a mask (C, C) of how much shade falls on each row."""
    column = Image.linear_gradient("L").point(lambda value: value * 34 // 255)
    return column.resize((_CANVAS, _CANVAS), Image.Resampling.BILINEAR)


def draw(look: Look) -> Image.Image:
    """The picture of a look: RGB, (SIDE, SIDE)."""
    rng = random.Random(f"{look.pose_seed}/paint")
    color = _jittered(load_vocabulary().colors[look.color].rgb, rng)
    paper = rng.randint(244, 255)
    image = Image.new("RGB", (_CANVAS, _CANVAS), (paper, paper, paper))
    image.paste((120, 120, 124), (0, 0), _floor())
    body, cloth = (Image.new("L", (_CANVAS, _CANVAS), 0) for _ in range(2))
    pens = ImageDraw.Draw(image), ImageDraw.Draw(body), ImageDraw.Draw(cloth)
    pose = _Pose(look)
    for layer in _shapes()[look.type]:
        paint = _FIXED.get(layer.paint) or _shaded(color, _TONES[layer.paint])
        edge = _shaded(color, 0.62) if layer.paint in _TONES else None
        points = [pose(point) for point in layer.points]
        cover = 255 if layer.paint == "main" else 0
        width = layer.width * pose.scale
        _paint(pens[0], points, paint, width)
        _paint(pens[1], points, 255, width)
        _paint(pens[2], points, cover, width)
        if edge and not layer.width:
            pens[0].line([*points, points[0]], fill=edge, width=3, joint="curve")
    if look.pattern != "solid":
        left, top = (rng.randrange(_CANVAS) for _ in range(2))
        window = _tile(look.pattern).crop((left, top, left + _CANVAS, top + _CANVAS))
        second = (250, 248, 240) if sum(color) < 560 else (88, 84, 96)
        image.paste(second, (0, 0), ImageChops.multiply(window, cloth))
    image.paste((0, 0, 0), (0, 0), ImageChops.multiply(_light(), body))
    return image.reduce(_OVERSAMPLE)


def _paint(pen: ImageDraw.ImageDraw, points: list[Point], fill: RGB | int, width: float) -> None:
    if not width:
        pen.polygon(points, fill=fill)
        return
    pen.line(points, fill=fill, width=max(2, round(width)), joint="curve")
    radius = width / 2
    for x, y in (points[0], points[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def save_pictures(jobs: list[tuple[Look, str]], folder: str) -> int:
    """Draw each look into its JPEG file under `folder`; returns how many."""
    for look, name in jobs:
        draw(look).save(Path(folder) / name, quality=88)
    return len(jobs)


def shapes() -> Iterator[str]:
    """The types that have a silhouette."""
    yield from _shapes()
