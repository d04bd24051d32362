"""Drawn pictures of one product of a known colour: in crates, in hands, before busy backgrounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (320, 320)
Color = tuple[int, int, int]
COLORS: dict[str, tuple[Color, ...]] = {
    "red": ((196, 24, 34), (170, 20, 40), (214, 48, 40)),
    "orange": ((240, 130, 28), (232, 112, 20)),
    "yellow": ((246, 214, 44), (236, 200, 30)),
    "green": ((44, 132, 56), (96, 160, 44), (20, 104, 60)),
    "blue": ((30, 84, 190), (24, 48, 120), (60, 130, 210)),
    "purple": ((104, 44, 150), (88, 30, 110)),
    "pink": ((240, 130, 170), (236, 96, 150)),
    "brown": ((104, 62, 36), (84, 50, 30)),
    "black": ((24, 24, 26), (36, 36, 38)),
    "white": ((244, 244, 242), (236, 238, 240)),
    "gray": ((128, 130, 132), (100, 102, 104)),
}
SKIN: tuple[Color, ...] = (
    *((246, 214, 188), (232, 186, 150), (206, 152, 114)),
    *((172, 116, 80), (134, 86, 58), (96, 62, 44)),
)
WOOD: tuple[Color, ...] = ((196, 154, 104), (160, 112, 68), (120, 82, 50), (214, 182, 138))
SCENES = ("plain", "crate", "hand", "background", "hand and background", "cut off", "close-up")


@dataclass(frozen=True)
class Scene:
    """A drawn picture, the kind of its surroundings and its product's basic colour."""

    picture: Image.Image
    kind: str
    color: str


def draw_scenes(count: int, seed: int) -> list[Scene]:
    """Return `count` pictures of each kind of SCENES, the same for the same seed."""
    rng = Random(seed)
    found = []
    for kind in SCENES:
        names = [name for name in COLORS if not (kind == "plain" and name == "white")]
        rng.shuffle(names)
        for number in range(count):
            name = names[number % len(names)]
            found.append(Scene(_draw(rng, kind, rng.choice(COLORS[name])), kind, name))
    return found


def _draw(rng: Random, kind: str, color: Color) -> Image.Image:
    busy = "background" in kind or kind == "cut off"
    back = BACKGROUNDS[rng.randrange(len(BACKGROUNDS))] if busy else _plain
    picture = back(rng)
    if kind == "crate":
        _crate(rng, picture, color)
    elif kind == "close-up":
        _close_up(rng, picture, color)
    else:
        low = kind == "cut off"  # stands on the lower edge of the picture
        center = (rng.randint(130, 190), rng.randint(270, 290) if low else rng.randint(120, 180))
        hand = rng.choice(SKIN) if "hand" in kind else None
        if hand:
            _arm(rng, picture, center, hand)
        _product(rng, picture, center, color)
        if hand:
            _fingers(rng, picture, center, hand)
    return _photographed(rng, picture)


def _shade(color: Color, by: float) -> Color:
    red, green, blue = (max(0, min(255, round(value * by))) for value in color)
    return red, green, blue


def _plain(rng: Random) -> Image.Image:
    level = rng.choice((255, 252, 246))
    return Image.new("RGB", SIZE, (level, level, level))


def _planks(rng: Random) -> Image.Image:
    picture = Image.new("RGB", SIZE)
    pen, wood = ImageDraw.Draw(picture), rng.choice(WOOD)
    top = 0
    while top < SIZE[1]:
        height = rng.randint(30, 70)
        pen.rectangle((0, top, SIZE[0], top + height), fill=_shade(wood, rng.uniform(0.85, 1.1)))
        for _ in range(12):
            y = top + rng.randint(2, height)
            pen.line((0, y, SIZE[0], y + rng.randint(-3, 3)), fill=_shade(wood, 0.8))
        pen.line((0, top, SIZE[0], top), fill=_shade(wood, 0.5), width=2)
        top += height
    return picture


def _grass(rng: Random) -> Image.Image:
    picture = Image.new("RGB", SIZE, (84, 120, 50))
    pen = ImageDraw.Draw(picture)
    for _ in range(2500):
        x, y = rng.randint(0, SIZE[0]), rng.randint(0, SIZE[1])
        blade = _shade((96, 140, 58), rng.uniform(0.6, 1.25))
        pen.line((x, y, x + rng.randint(-6, 6), y - rng.randint(6, 18)), fill=blade)
    return picture


def _room(rng: Random) -> Image.Image:
    walls = ((228, 222, 210), (186, 204, 214), (214, 190, 180), (150, 160, 150), (240, 238, 234))
    picture = Image.new("RGB", SIZE, rng.choice(walls))
    pen, edge = ImageDraw.Draw(picture), rng.randint(180, 250)
    pen.rectangle((0, edge, *SIZE), fill=rng.choice(WOOD))
    for _ in range(rng.randint(1, 3)):
        left, top = rng.choice((-20, 0, 250, 270)), rng.randint(20, 150)
        fill = rng.choice(COLORS[rng.choice(list(COLORS))])
        pen.rectangle((left, top, left + rng.randint(30, 60), top + rng.randint(40, 90)), fill=fill)
    return picture


def _cloth(rng: Random) -> Image.Image:
    first, second = ((250, 248, 244), rng.choice(((200, 60, 60), (70, 100, 170), (150, 150, 150))))
    picture, side = Image.new("RGB", SIZE, first), rng.choice((16, 24, 32))
    pen = ImageDraw.Draw(picture)
    for x in range(0, SIZE[0], 2 * side):
        for y in range(0, SIZE[1], 2 * side):
            pen.rectangle((x, y, x + side, y + side), fill=second)
            pen.rectangle((x + side, y + side, x + 2 * side, y + 2 * side), fill=second)
    return picture


def _stone(rng: Random) -> Image.Image:
    base = np.array(rng.choice(((150, 148, 144), (90, 92, 96), (206, 202, 196))), float)
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(
        0, 26, (SIZE[1] // 8, SIZE[0] // 8)
    )
    small = Image.fromarray((base + noise[..., None]).clip(0, 255).astype(np.uint8))
    return small.resize(SIZE, Image.Resampling.BICUBIC)


BACKGROUNDS: tuple[Callable[[Random], Image.Image], ...] = (_planks, _grass, _room, _cloth, _stone)


def _crate(rng: Random, picture: Image.Image, color: Color) -> None:
    """Draw a crate with many pieces of the product in it, seen from above or from the side."""
    pen = ImageDraw.Draw(picture)
    plastic = ((40, 70, 150), (30, 110, 60), (40, 40, 42), (190, 40, 40))
    wood = rng.choice((*WOOD, *plastic))
    inset = rng.choice((0, 0, 14, 30))
    box = (inset, inset, SIZE[0] - inset, SIZE[1] - inset)
    pen.rectangle(box, fill=_shade(wood, 0.55))
    rim = rng.randint(36, 62)
    inner = (box[0] + rim, box[1] + rim, box[2] - rim, box[3] - rim)
    for _ in range(90):
        x, y = rng.randint(inner[0], inner[2]), rng.randint(inner[1], inner[3])
        radius = rng.randint(16, 26)
        fill = _shade(color, rng.uniform(0.8, 1.1))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        pen.arc((x - radius, y - radius, x + radius, y + radius), 20, 160, _shade(color, 0.6), 2)
    for at in (0, 1):  # slats over the fruit at the rim
        side = rim + rng.randint(0, 8)
        top = box[1] if at == 0 else box[3] - side
        pen.rectangle((box[0], top, box[2], top + side), fill=_shade(wood, 1.0))
        left = box[0] if at == 0 else box[2] - side
        pen.rectangle((left, box[1], left + side, box[3]), fill=_shade(wood, 0.9))
    if rng.random() < 0.5:
        middle = rng.randint(200, 240)
        pen.rectangle((box[0], middle, box[2], middle + 26), fill=_shade(wood, 1.05))


def _product(rng: Random, picture: Image.Image, center: tuple[int, int], color: Color) -> None:
    pen = ImageDraw.Draw(picture)
    x, y = center
    wide, high = rng.randint(45, 75), rng.randint(55, 85)
    form = rng.randrange(4)
    for step in range(12):  # lighter towards the upper left
        by, cut = 0.72 + 0.03 * step, step * 3
        box = (x - wide + cut // 2, y - high + cut // 2, x + wide - cut, y + high - cut)
        if form == 0:
            pen.ellipse(box, fill=_shade(color, by))
        elif form == 1:
            pen.rounded_rectangle(box, 12, fill=_shade(color, by))
        elif form == 2:  # a bottle
            pen.rounded_rectangle(
                (box[0], y - high // 3, box[2], box[3]), 10, fill=_shade(color, by)
            )
            pen.rectangle((x - 14, y - high - 10, x + 14, y - high // 3), fill=_shade(color, 0.9))
        else:
            pen.polygon(
                [(x, box[1]), (box[2], y), (x + wide // 2, box[3]), (x - wide // 2, box[3]),
                 (box[0], y)], fill=_shade(color, by),
            )  # fmt: skip


def _close_up(rng: Random, picture: Image.Image, color: Color) -> None:
    """Draw a product that fills the picture, with a label of another colour on it."""
    pen = ImageDraw.Draw(picture)
    for top in range(SIZE[1]):
        pen.line((0, top, SIZE[0], top), fill=_shade(color, 0.8 + 0.25 * top / SIZE[1]))
    wide, high = rng.randint(30, 50), rng.randint(20, 40)
    box = (160 - wide, 150 - high, 160 + wide, 150 + high)
    other = rng.choice([name for name in COLORS if color not in COLORS[name]])
    pen.rectangle(box, fill=rng.choice(COLORS[other]))


def _arm(rng: Random, picture: Image.Image, center: tuple[int, int], skin: Color) -> None:
    pen = ImageDraw.Draw(picture)
    x, y = center
    angle = rng.choice((90, 60, 120, 20, 160)) + rng.randint(-10, 10)
    far = (x + 400 * math.cos(math.radians(angle)), y + 400 * math.sin(math.radians(angle)))
    pen.line((x, y + 30, *far), fill=_shade(skin, 0.95), width=rng.randint(56, 84))
    pen.ellipse((x - 78, y - 30, x + 78, y + 100), fill=skin)


def _fingers(rng: Random, picture: Image.Image, center: tuple[int, int], skin: Color) -> None:
    pen = ImageDraw.Draw(picture)
    x, y = center
    for number in range(4):
        top = y + 10 + 20 * number
        pen.rounded_rectangle((x - 84, top, x - 84 + rng.randint(48, 72), top + 17), 8, fill=skin)
    pen.rounded_rectangle((x + 36, y + 20, x + 84, y + 44), 10, fill=_shade(skin, 1.03))


def _photographed(rng: Random, picture: Image.Image) -> Image.Image:
    """Blur a little and add noise and uneven light."""
    soft = picture.filter(ImageFilter.GaussianBlur(0.8))
    values = np.asarray(soft, float)
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 3, values.shape)
    light = np.linspace(1, rng.uniform(0.92, 1.0), SIZE[0])[None, :, None]
    flat = (values >= 246).all(axis=-1, keepdims=True)  # studio backgrounds are lit evenly
    found = np.where(flat, values, values * light + noise)
    return Image.fromarray(found.clip(0, 255).astype(np.uint8))
