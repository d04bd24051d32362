"""Names of colours, by the nearest anchor of the colour vocabulary in CIELAB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.segmentation import Figure, Floats, Mask
from genfilt.vocabulary.terms import vocabulary

LIGHTNESS = 0.6  # weight of lightness against hue: shading changes it, dye does not
ACHROMATIC = frozenset({"black", "gray", "white", "beige"})
MIN_SECOND_SHARE = 0.3  # share from which a second colour is named
MIN_DRESSED_SHARE = 0.12  # share of a worn figure that its clothes cover at least

# The weight of each height of a worn figure, from its top: hair and face, another garment, hands
# and shoes lie elsewhere.
HEIGHTS = {
    "upper": ((0.15, 0.0), (0.75, 1.0), (1.0, 0.15)),
    "lower": ((0.05, 0.5), (0.45, 1.0), (0.8, 0.6), (1.0, 0.05)),
    "full": ((0.12, 0.0), (0.9, 1.0), (1.0, 0.2)),
    "head": ((0.5, 1.0), (1.0, 0.3)),
}


@dataclass(frozen=True)
class Shade:
    """A basic colour and its most frequent shade, with its share of the region."""

    basic: str
    name: str
    share: float


def shades(figure: Figure, worn: str) -> list[Shade]:
    """Return the colours of a product, largest first.

    Args:
        figure: the segmented picture.
        worn: where a thing of its type is worn ("upper", "lower", "full", "feet", "head"); skin
            counts as colour of everything that is not ("object").
    """
    mask, weights = _region(figure, worn)
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


def _region(figure: Figure, worn: str) -> tuple[Mask, Floats]:
    from scipy import ndimage

    top, bottom, _, _ = figure.box
    heights = (np.arange(figure.foreground.shape[0]) - top) / max(1, bottom - top)
    steps = HEIGHTS.get(worn, ((1.0, 1.0),))
    rows = np.select([heights < limit for limit, _ in steps], [weight for _, weight in steps], 0.0)
    dressed = figure.foreground
    if worn in HEIGHTS:
        bare = dressed & ~ndimage.binary_dilation(figure.skin)
        if (
            bare.sum() >= MIN_DRESSED_SHARE * dressed.sum()
        ):  # else the garment itself is skin-coloured
            dressed = bare
    for mask in (ndimage.binary_erosion(dressed), dressed, figure.foreground):
        weights = np.broadcast_to(rows[:, None], mask.shape)[mask].astype(np.float32)
        if weights.sum() > 0:
            return mask, weights
    everything = np.ones(figure.foreground.shape, dtype=bool)
    return everything, np.ones(everything.size, dtype=np.float32)


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
