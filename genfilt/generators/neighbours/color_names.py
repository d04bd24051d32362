"""Names of colours, by the nearest anchor of the colour vocabulary in CIELAB."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.color_region import LIGHTNESS, WAYS, color_region
from genfilt.generators.neighbours.segmentation import Figure, Floats
from genfilt.vocabulary.terms import vocabulary

ACHROMATIC = frozenset({"black", "gray", "white", "beige"})
MIN_SECOND_SHARE = 0.3  # share from which a second colour is named


@dataclass(frozen=True)
class Shade:
    """A basic colour and its most frequent shade, with its share of the region."""

    basic: str
    name: str
    share: float


def shades(figure: Figure, worn: str, ways: Collection[str] = WAYS) -> list[Shade]:
    """Return the colours of a product, largest first.

    Args:
        figure: the segmented picture.
        worn: where a thing of its type is worn ("upper", "lower", "full", "feet", "head"), "object"
            of everything else.
        ways: see color_region.
    """
    mask, weights = color_region(figure, worn, ways)
    anchors, basics, names = _anchors()
    scale = np.array([LIGHTNESS, 1, 1], dtype=np.float32)
    nearest = _nearest(figure.lab[mask] * scale, anchors * scale)
    shares = np.bincount(nearest, weights, len(anchors))
    total = shares.sum()
    found: dict[str, dict[str, float]] = {}
    for index in np.flatnonzero(shares):
        shade = found.setdefault(basics[index], {})
        shade[names[index]] = shade.get(names[index], 0.0) + float(shares[index] / total)
    return sorted(
        (
            Shade(basic, max(inner, key=lambda each: inner[each]), sum(inner.values()))
            for basic, inner in found.items()
        ),
        key=lambda shade: (-shade.share, shade.basic),
    )


def named_colors(found: Sequence[Shade]) -> list[str]:
    """Return the one or two basic colours that a caption names.

    The larger one comes first, but of two without a majority the colourful one: what is striped
    on white is named by its stripes.
    """
    named = [shade.basic for shade in found[:2] if shade.share >= MIN_SECOND_SHARE] or [
        found[0].basic
    ]
    if found[0].share > 0.5:
        return named
    return sorted(named, key=lambda basic: basic in ACHROMATIC)


def in_metal(basics: Sequence[str], metals: Mapping[str, str]) -> list[str]:
    """Return colours as jewellers call them."""
    return list(dict.fromkeys(metals.get(basic, basic) for basic in basics))


def _nearest(colors: Floats, anchors: Floats) -> npt.NDArray[np.intp]:
    """Index of the nearest anchor (A, 3) of each colour (N, 3)."""
    half = np.square(anchors).sum(axis=1) / 2
    nearest: npt.NDArray[np.intp] = np.argmax(colors @ anchors.T - half, axis=1)
    return nearest


@lru_cache(maxsize=1)
def _anchors() -> tuple[Floats, list[str], list[str]]:
    from skimage.color import rgb2lab

    rows = [
        (anchor, term.broader or term.canonical, term.canonical)
        for term in vocabulary().color_terms
        if term.visible
        for anchor in term.anchors
    ]
    rgb = np.array([[int(row[0][at : at + 2], 16) for at in (1, 3, 5)] for row in rows], np.uint8)
    lab = np.asarray(rgb2lab(rgb[None])[0], dtype=np.float32)
    return lab, [row[1] for row in rows], [row[2] for row in rows]
