"""The part of a picture whose colours a caption names: the product without its surroundings.

Left out, each only where enough of the picture remains: colours that the picture's border has,
where the background is not plain; hands, which are skin that reaches the border; all that is far
from the middle, gradually, as the rim of a crate. Measured on drawn pictures and on a shop's photos
by benchmarks/picture_colors.py.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from genfilt.generators.neighbours.segmentation import Figure, Floats, Mask

MIN_DRESSED_SHARE = 0.12  # share of a figure that is left without skin at least
# The weight of each height of a worn figure, from its top: hair and face, another garment, hands
# and shoes lie elsewhere.
HEIGHTS = {
    "upper": ((0.15, 0.0), (0.75, 1.0), (1.0, 0.15)),
    "lower": ((0.05, 0.5), (0.45, 1.0), (0.8, 0.6), (1.0, 0.05)),
    "full": ((0.12, 0.0), (0.9, 1.0), (1.0, 0.2)),
    "head": ((0.5, 1.0), (1.0, 0.3)),
}
BORDER = 4  # pixels of its width; of the sides and the top: things often stand on the lower edge
BORDER_CELLS = (12.0, 10.0, 10.0)  # CIELAB steps in which the border's colours are counted
MIN_BORDER_SHARE = 0.04  # of the border, from which a colour is one of the background
BACKGROUND_DISTANCE = (
    12.0  # CIELAB distance (lightness by LIGHTNESS) within which a pixel is like it
)
LIGHTNESS = 0.6  # weight of lightness against hue: shading changes it, dye does not
MIN_PRODUCT_SHARE = 0.08  # of the picture: where less differs from the border it is a label or dirt
SPREAD = 0.24  # of the box's sides: standard deviation of the weight of the middle


WAYS = frozenset(("border", "hands", "middle"))  # of leaving out what surrounds a thing


def color_region(figure: Figure, worn: str, ways: Collection[str] = WAYS) -> tuple[Mask, Floats]:
    """Return the pixels (H, W) whose colours count, and the weight of each of them.

    Args:
        figure: the segmented picture.
        worn: where a thing of its type is worn ("upper", "lower", "full", "feet", "head"), else
            "object".
        ways: those of WAYS that are used, where nothing is worn; all but in comparisons.
    """
    from scipy import ndimage

    if worn in HEIGHTS:
        parts, rows = _dressed(figure), _heights(figure, HEIGHTS[worn])
        weights = np.broadcast_to(rows[:, None], figure.foreground.shape)
    else:
        parts = _in_front(figure, ways)
        weights = _middle(figure) if "middle" in ways else np.ones(parts.shape, np.float32)
    for mask in (ndimage.binary_erosion(parts), parts, figure.foreground):
        found = weights[mask].astype(np.float32)
        if found.sum() > 0:
            return mask, found
    everything = np.ones(figure.foreground.shape, dtype=bool)
    return everything, np.ones(everything.size, dtype=np.float32)


def _heights(figure: Figure, steps: tuple[tuple[float, float], ...]) -> Floats:
    """Return the weight of each row of the picture."""
    top, bottom, _, _ = figure.box
    heights = (np.arange(figure.foreground.shape[0]) - top) / max(1, bottom - top)
    limits = [heights < limit for limit, _ in steps]
    return np.select(limits, [weight for _, weight in steps], 0.0).astype(np.float32)


def _dressed(figure: Figure) -> Mask:
    """Return a worn figure without skin."""
    return _without(figure.foreground, figure.skin)


def _in_front(figure: Figure, ways: Collection[str]) -> Mask:
    """Return the foreground without the border's colours and without hands."""
    found = figure.foreground
    if "border" in ways and found.all():  # no plain background was found
        found = _unlike_border(figure)
    return _without(found, _hands(figure)) if "hands" in ways else found


def _without(mask: Mask, skin: Mask) -> Mask:
    """Return a mask without skin, and whole where little is left: the product is skin-coloured."""
    from scipy import ndimage

    bare: Mask = mask & ~ndimage.binary_dilation(skin)
    return bare if bare.sum() >= MIN_DRESSED_SHARE * mask.sum() else mask


def _unlike_border(figure: Figure) -> Mask:
    """Return what is unlike the border's frequent colours; the foreground where it is little."""
    from scipy import ndimage

    lab = figure.lab
    border = np.concatenate(
        [
            lab[:BORDER].reshape(-1, 3),
            lab[:, :BORDER].reshape(-1, 3),
            lab[:, -BORDER:].reshape(-1, 3),
        ]
    )
    cells = np.round(border / np.array(BORDER_CELLS)).astype(np.int64)
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    common = np.flatnonzero(counts >= MIN_BORDER_SHARE * len(border))
    scale = np.array([LIGHTNESS, 1, 1], np.float32)
    nearest = np.full(lab.shape[:2], np.inf, np.float32)
    for number in common:
        color = border[cell.ravel() == number].mean(axis=0)
        nearest = np.minimum(nearest, np.square((lab - color) * scale).sum(axis=-1))
    found: Mask = ndimage.binary_opening(nearest > BACKGROUND_DISTANCE**2)
    enough = len(common) and found.sum() >= MIN_PRODUCT_SHARE * found.size
    return found if enough else figure.foreground


def _hands(figure: Figure) -> Mask:
    """Return the pieces of skin that reach the picture's border."""
    from scipy import ndimage

    pieces, count = ndimage.label(figure.skin)
    if not count:
        return figure.skin
    edges = (pieces[:2], pieces[-2:], pieces[:, :2], pieces[:, -2:])
    numbers = np.unique(np.concatenate([edge.ravel() for edge in edges]))
    return np.isin(pieces, numbers[numbers > 0])


def _middle(figure: Figure) -> Floats:
    """Return weights (H, W) that fall off from the middle of the foreground's box."""
    top, bottom, left, right = figure.box
    height, width = figure.foreground.shape
    rows = (np.arange(height) - (top + bottom) / 2) / (SPREAD * max(1, bottom - top))
    columns = (np.arange(width) - (left + right) / 2) / (SPREAD * max(1, right - left))
    found = np.exp(-(np.square(rows)[:, None] + np.square(columns)[None]) / 2)
    return np.asarray(found, dtype=np.float32)
