"""Segmentation of a product picture into background, skin and the rest of the foreground.

Made for catalogue photos on a plain background. On a background that is not plain the whole
picture counts as foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

MAX_BACKGROUND_DISTANCE = (
    4.0  # CIELAB distance from the border's colour within which a pixel may be background
)
MIN_PLAIN_SHARE = 0.5  # of the border that must have that colour
MIN_PIECE_SHARE = 0.05  # share of the largest piece below which a piece is dirt
MIN_GAP_SHARE = (
    0.004  # share of the picture from which a gap, as between arm and body, is background
)
MAX_GAP_DISTANCE = 1.5  # mean CIELAB distance from the border's colour up to which it is one
SHADOW_HEIGHT = 0.4  # of the foreground, from below, in which a cast shadow is looked for
MAX_SHADOW_HUE = 4.0  # its largest distance from the background's hue
MAX_SHADOW_DEPTH = 40.0  # and how much darker it can be, in CIELAB lightness
MAX_SHADOW_SLOPE = 4.0  # change of lightness a pixel below which there is no edge
SKIN_HUE = (27.0, 70.0)  # degrees in the CIELAB plane; skin of all tones lies within
SKIN_CHROMA = (13.0, 42.0)
SKIN_LIGHTNESS = (25.0, 88.0)


@dataclass(frozen=True)
class Figure:
    """A picture in parts; every array has the picture's height and width."""

    lab: Floats  # (H, W, 3)
    foreground: Mask  # (H, W)
    skin: Mask  # (H, W), within the foreground

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The foreground's (top, bottom, left, right); the picture's where there is none."""
        rows = np.flatnonzero(self.foreground.any(axis=1))
        columns = np.flatnonzero(self.foreground.any(axis=0))
        if not len(rows):
            return 0, self.foreground.shape[0], 0, self.foreground.shape[1]
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

    def mirrored(self) -> Figure:
        """Return the figure seen in a mirror."""
        return Figure(self.lab[:, ::-1], self.foreground[:, ::-1], self.skin[:, ::-1])


def segment(rgb: npt.NDArray[np.uint8]) -> Figure:
    """Part a picture (H, W, 3) into background, skin and the rest."""
    from skimage.color import rgb2lab

    lab = np.asarray(rgb2lab(rgb), dtype=np.float32)
    foreground = _foreground(lab)
    return Figure(lab, foreground, _skin(lab, foreground))


def _foreground(lab: Floats) -> Mask:
    from scipy import ndimage

    border = np.concatenate([lab[0], lab[:, 0], lab[:, -1]])  # things often touch the lower edge
    distance = np.sqrt(np.square(lab - np.median(border, axis=0)).sum(axis=-1))
    like = distance < MAX_BACKGROUND_DISTANCE
    if np.concatenate([like[0], like[:, 0], like[:, -1]]).mean() < MIN_PLAIN_SHARE:
        return np.ones(like.shape, dtype=bool)
    pieces, count = ndimage.label(like)
    edge = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    outside = np.isin(pieces, edge[edge > 0])
    inside = ndimage.binary_fill_holes(_large_pieces(ndimage.binary_opening(~outside)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    means = np.bincount(pieces.ravel(), distance.ravel(), count + 1) / np.maximum(1, sizes)
    gaps = np.flatnonzero((sizes >= MIN_GAP_SHARE * like.size) & (means <= MAX_GAP_DISTANCE))
    inside &= ~np.isin(pieces, gaps[gaps > 0])
    inside &= ~_shadow(lab, np.median(border, axis=0), inside)
    return inside if inside.any() else np.ones(like.shape, dtype=bool)


def _shadow(lab: Floats, ground: Floats, inside: Mask) -> Mask:
    """What lies low, has the background's hue, fades gently and reaches the background."""
    from scipy import ndimage

    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return np.zeros_like(inside)
    low = np.arange(len(inside)) > rows[0] + (1 - SHADOW_HEIGHT) * (rows[-1] - rows[0])
    lightness = ndimage.gaussian_filter(lab[..., 0], 0.7)
    slope = np.hypot(ndimage.sobel(lightness, 0), ndimage.sobel(lightness, 1)) / 8
    soft = (
        (np.square(lab[..., 1:] - ground[1:]).sum(axis=-1) < MAX_SHADOW_HUE**2)
        & (lab[..., 0] > ground[0] - MAX_SHADOW_DEPTH)
        & (slope < MAX_SHADOW_SLOPE)
        & low[:, None]
    )
    reached: Mask = ndimage.binary_propagation(~inside, mask=~inside | soft)
    return reached & inside


def _large_pieces(mask: Mask) -> Mask:
    from scipy import ndimage

    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return np.isin(pieces, 1 + np.flatnonzero(sizes >= MIN_PIECE_SHARE * sizes.max()))


def _skin(lab: Floats, foreground: Mask) -> Mask:
    from scipy import ndimage

    lightness, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    skin = foreground.copy()
    for values, (low, high) in (
        (hue, SKIN_HUE),
        (chroma, SKIN_CHROMA),
        (lightness, SKIN_LIGHTNESS),
    ):
        skin &= (values > low) & (values < high)
    opened: Mask = ndimage.binary_opening(skin)
    return opened
