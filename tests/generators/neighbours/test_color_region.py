"""What a caption's colours leave out: hands, crates and backgrounds, and never the product."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genfilt.generators.neighbours.color_names import named_colors, shades
from genfilt.generators.neighbours.color_region import WAYS, color_region
from genfilt.generators.neighbours.segmentation import segment

SKIN, WOOD, RED, BLUE = (206, 152, 114), (160, 112, 68), (196, 24, 34), (30, 84, 190)
Picture = NDArray[np.uint8]


def picture(ground: tuple[int, int, int] = (255, 255, 255)) -> Picture:
    return np.full((120, 120, 3), ground, np.uint8)


def first_color(rgb: Picture, *, without: str = "") -> str:
    ways = WAYS - {without}
    return named_colors(shades(segment(rgb), "object", ways))[0]


def in_hand() -> Picture:
    rgb = picture()
    rgb[50:120, 30:90] = SKIN  # from below
    rgb[30:70, 45:75] = BLUE
    return rgb


def in_crate() -> Picture:
    rgb = picture()
    rgb[5:115, 5:115] = WOOD
    rgb[28:92, 28:92] = RED
    return rgb


def on_tiles() -> Picture:
    rgb = picture((200, 60, 60))
    for top in range(0, 120, 20):
        for left in range(0, 120, 20):
            rgb[top : top + 10, left : left + 10] = (250, 250, 246)
            rgb[top + 10 : top + 20, left + 10 : left + 20] = (250, 250, 246)
    rgb[40:80, 40:80] = BLUE
    return rgb


@pytest.mark.parametrize(
    ("rgb", "color", "way"),
    [(in_hand(), "blue", "hands"), (in_crate(), "red", "middle"), (on_tiles(), "blue", "border")],
)
def test_each_way_leaves_out_what_the_others_do_not(rgb: Picture, color: str, way: str) -> None:
    assert first_color(rgb) == color
    assert first_color(rgb, without=way) != color


def test_a_thing_in_the_colour_of_skin_stays() -> None:
    rgb = picture()
    rgb[40:120, 30:90] = SKIN
    mask, weights = color_region(segment(rgb), "object")
    assert mask[60:110, 40:80].all()
    assert weights.shape == (mask.sum(),)
    assert (weights > 0).all()


def test_a_thing_that_fills_the_picture_is_named_before_its_label() -> None:
    light = np.linspace(0.7, 1.1, 120)[:, None, None]  # its own shading is no plain background
    rgb = (picture((44, 132, 56)) * light).astype(np.uint8)
    rgb[50:70, 50:80] = RED
    assert first_color(rgb) == "green"


def test_a_picture_of_one_colour_has_a_region() -> None:
    mask, weights = color_region(segment(picture((10, 10, 10))), "object")
    assert mask.any()
    assert weights.sum() > 0
