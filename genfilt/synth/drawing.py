"""Drawing of a product's picture from its silhouette, in its type, colour and pattern."""

import math
import random
from functools import cache
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from genfilt.synth.listings import Look
from genfilt.synth.silhouettes import Point, silhouettes
from genfilt.synth.word_lists import RGB, load_word_lists

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
_PITCH = {
    "striped": _CANVAS // 14,
    "checked": _CANVAS // 14,
    "dotted": _CANVAS // 14,
    "floral": _CANVAS // 9,
}
_TONES = {"main": 1.0, "light": 1.22, "shade": 0.84, "deep": 0.62}

_WAIST = {"women": 0.18, "kids": -0.05}
"""How much narrower a top is at half its height than the silhouette."""
_WAISTED = {"t_shirt", "hoodie", "jacket", "shirt"}
_WIDTH = {"women": 0.88, "kids": 0.94}
_WORN = {"apparel", "footwear"}


class _Pose:
    """Return a grid point's place on the canvas, after the style's cut and the listing's pose."""

    def __init__(self, look: Look) -> None:
        cut, pose = random.Random(look.cut_seed), random.Random(look.pose_seed)
        gender, worn = look.gender or "", load_word_lists().types[look.type].category in _WORN
        self._stretch = (
            cut.uniform(0.94, 1.06) * (_WIDTH.get(gender, 1.0) if worn else 1.0),
            cut.uniform(0.94, 1.06),
        )
        self._waist = _WAIST.get(gender, 0.0) if look.type in _WAISTED else 0.0
        scale = pose.uniform(0.84, 0.98) * _CANVAS / 100 * (0.82 if gender == "kids" else 1.0)
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
    """Return the colour lighter or darker; a very dark one is lifted so that its folds show."""
    if by != 1.0 and sum(color) < 190:
        by, lift = 1.0, {0.84: 16, 0.62: 34}.get(by, 46)
    else:
        lift = 0
    r, g, b = (max(0, min(255, round(channel * by) + lift)) for channel in color)
    return (r, g, b)


def _jittered(color: RGB, rng: random.Random) -> RGB:
    """Return the colour up to 5 % lighter or darker, a little warmer or cooler."""
    light, warm = rng.uniform(0.95, 1.05), rng.uniform(-4, 4)
    r, g, b = color
    return _shaded((round(r + warm), g, round(b - warm)), light) if sum(color) >= 190 else color


@cache
def _tile(pattern: str) -> Image.Image:
    """Return a pattern as a mask (2 C, 2 C) of which a picture takes a window of (C, C)."""
    side, pitch = 2 * _CANVAS, _PITCH[pattern]
    tile = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(tile)
    for y in range(0, side, pitch):
        if pattern in ("striped", "checked"):
            pen.rectangle((0, y, side, y + pitch * 0.38), fill=255 if pattern == "striped" else 150)
            continue
        for x in range(y // pitch % 2 * pitch // 2, side, pitch):
            _MOTIFS[pattern](pen, x, y, pitch)
    if pattern == "checked":
        across = tile.transpose(Image.Transpose.ROTATE_90)
        return ImageChops.add(tile, across.point(lambda value: value * 105 // 150))
    return tile


def _disc(pen: ImageDraw.ImageDraw, center: Point, radius: float, fill: int) -> None:
    x, y = center
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _dot(pen: ImageDraw.ImageDraw, x: int, y: int, pitch: int) -> None:
    _disc(pen, (x, y), pitch * 0.26, 255)


def _flower(pen: ImageDraw.ImageDraw, x: int, y: int, pitch: int) -> None:
    for turn in range(5):
        angle = turn * 2 * math.pi / 5 + x
        petal = (x + pitch * 0.2 * math.cos(angle), y + pitch * 0.2 * math.sin(angle))
        _disc(pen, petal, pitch * 0.15, 255)
    _disc(pen, (x, y), pitch * 0.1, 60)


_MOTIFS = {"dotted": _dot, "floral": _flower}


@cache
def _ground(paper: int) -> Image.Image:
    """Return the background (C, C): paper of this brightness with a product's soft shadow."""
    small = Image.new("L", (56, 56), 0)
    ImageDraw.Draw(small).ellipse((9, 44, 47, 52), fill=90)
    blurred = small.filter(ImageFilter.GaussianBlur(2.5))
    ground = Image.new("RGB", (_CANVAS, _CANVAS), (paper, paper, paper))
    shadow = blurred.resize((_CANVAS, _CANVAS), Image.Resampling.BILINEAR)
    ground.paste((120, 120, 124), (0, 0), shadow)
    return ground


@cache
def _light() -> Image.Image:
    """Return a mask (SIDE, SIDE) of the shade on each row under light from above."""
    column = Image.linear_gradient("L").point(lambda value: value * 34 // 255)
    return column.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def draw(look: Look) -> Image.Image:
    """Return the picture of a look: RGB, (SIDE, SIDE)."""
    rng = random.Random(f"{look.pose_seed}/paint")
    color = _jittered(load_word_lists().colors[look.color].rgb, rng)
    image = _ground(rng.randint(244, 255)).copy()
    body, cloth = (Image.new("L", (_CANVAS, _CANVAS), 0) for _ in range(2))
    pens = ImageDraw.Draw(image), ImageDraw.Draw(body), ImageDraw.Draw(cloth)
    pose = _Pose(look)
    for layer in silhouettes()[look.type]:
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
    small = image.reduce(_OVERSAMPLE)
    shade = ImageChops.multiply(_light(), body.reduce(_OVERSAMPLE))
    small.paste((0, 0, 0), (0, 0), shade)
    return small


def _paint(pen: ImageDraw.ImageDraw, points: list[Point], fill: RGB | int, width: float) -> None:
    if not width:
        pen.polygon(points, fill=fill)
        return
    pen.line(points, fill=fill, width=max(2, round(width)), joint="curve")
    radius = width / 2
    for x, y in (points[0], points[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def save_pictures(jobs: list[tuple[Look, str]], folder: str) -> int:
    """Draw each look into its JPEG file under `folder` and return how many."""
    for look, name in jobs:
        draw(look).save(Path(folder) / name, quality=88)
    return len(jobs)
