from __future__ import annotations

import itertools
import re
from importlib.resources import files
from pathlib import Path

import pytest

from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.inspect.report import write_report
from tests.described_shop import described_shop
from tests.inspect.html_page import Page
from tests.shop_files import draw

# Colours that stand on each other: text needs a ratio of 4.5, lines and shapes 3 (WCAG 2.1, AA).
TEXT_PAIRS = [
    *((ink, ground) for ink in ("ink", "soft") for ground in ("paper", "wash")),
    *(("chip-ink", "chip"), ("red", "paper"), ("amber", "paper")),
]
SHAPE_PAIRS = [
    *((shape, "paper") for shape in ("blue", "brown", "gain", "grey", "red", "amber")),
    *(("blue", "chip"), ("gain", "chip"), ("grey", "wash"), ("blue", "wash")),
]


def luminance(color: str) -> float:
    digits = color if len(color) == 6 else "".join(c * 2 for c in color)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_colours_have_the_contrast_of_wcag_aa(theme: str) -> None:
    css = (files("genfilt.inspect") / "static" / "report.css").read_text("utf-8")
    blocks = [
        dict(re.findall(r"--([\w-]+): #([0-9a-f]{3,6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(blocks) == 3
    assert blocks[0].keys() == blocks[1].keys()
    empty: dict[str, str] = {}
    colors = blocks[0] | {"light": empty, "dark": blocks[1], "print": blocks[2]}[theme]
    for pairs, least in ((TEXT_PAIRS, 4.5), (SHAPE_PAIRS, 3.0)):
        for above, below in pairs:
            low, high = sorted(luminance(colors[name]) for name in (above, below))
            assert (high + 0.05) / (low + 0.05) >= least, (above, below)


@pytest.fixture
def page(tmp_path: Path, embedder: Embedder) -> Page:
    picture = draw(tmp_path / "p.png", "red")
    with described_shop() as store:
        filter_pairs(store, FilterSettings(0.6, 0.3), embedder)
        store.connection.execute("UPDATE products SET image = ?", [str(picture)])
        write_report(store, tmp_path / "r.html")
    return Page(tmp_path / "r.html")


def test_headings_are_in_order_and_pictures_have_texts(page: Page) -> None:
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    images = [a for t, a in page.tags if t == "img"]
    assert images
    assert all(str(a["alt"]).startswith("Picture of ") for a in images)
    assert all(a.get("aria-label") or a.get("aria-hidden") for t, a in page.tags if t == "svg")
    tags = [t for t, _ in page.tags]
    assert tags.count("main") == tags.count("header") == tags.count("footer") == 1
    assert tags.count("label") == len([t for t in tags if t in ("input", "select")])


def test_words_of_the_tables_are_explained(page: Page) -> None:
    legend = page.said.split("Words on this page")[1]
    for word in ("sigma", "correction", "train split", "batch", "label, review", "score"):
        assert word in legend
    before = page.said.split("Words on this page")[0]
    for jargon in ("sigma", "core_word", "held-out", "caption", "embed", "cosine", "verdict"):
        assert jargon not in before, jargon
