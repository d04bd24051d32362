from __future__ import annotations

import re
from importlib.resources import files

import pytest

TEXT, EDGE = 4.5, 3.0  # WCAG 2.2 AA: text (1.4.3) and the edges of controls (1.4.11)
PAIRS = [
    *((ink, ground, TEXT) for ink in ("ink", "soft") for ground in ("paper", "wash", "chip")),
    *((ink, ground, TEXT) for ink in ("blue", "yes", "no") for ground in ("paper", "wash")),
    *((edge, ground, EDGE) for edge in ("edge", "blue") for ground in ("paper", "wash")),
]


def themes() -> dict[str, dict[str, str]]:
    """Return the colours of the light and the dark theme by name."""
    text = (files("genfilt.common.local_page") / "static" / "page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colors = r"--([a-z]+): (#[0-9a-f]{3,6});"
    return {"light": dict(re.findall(colors, light)), "dark": dict(re.findall(colors, dark))}


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    values = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_can_be_told_apart(theme: str) -> None:
    colors = themes()[theme]
    weak = {
        (ink, ground): round(contrast(colors[ink], colors[ground]), 2)
        for ink, ground, least in PAIRS
        if contrast(colors[ink], colors[ground]) < least
    }
    assert not weak


def test_both_themes_name_every_colour_and_rules_use_no_other() -> None:
    text = (files("genfilt.common.local_page") / "static" / "page.css").read_text("utf-8")
    light, dark = themes().values()
    assert light.keys() == dark.keys() == set(re.findall(r"var\(--([a-z]+)\)", text))
    rules = re.sub(r":root \{.*?\}", "", text, flags=re.DOTALL)
    # Pictures have a white ground, and so has paper.
    assert set(re.findall(r"#[0-9a-f]{3,6}", rules)) == {"#fff"}
