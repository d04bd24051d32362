"""Classical image features of the segmented foreground of a product picture.

Where skin shows, where the product's own colour lies, outline and proportions, and gradients (HOG)
at the neck, whose place and scale follow from the head's width: a hood, a collar or a bare neck
distinguishes garments that are alike below.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.segmentation import Figure, Floats

GRID = 16  # cells a side of the maps
ROWS = 24  # heights at which widths are taken
OWN_COLOR = 15.0  # CIELAB distance at which a pixel is half its way out of the product's colour
CELL = 16  # pixels a side of a cell of gradients
HEAD = 0.22  # of the foreground's height: the widest that a head can be

Box = tuple[float, float, float, float]  # top, bottom, left, right


def features(figure: Figure) -> dict[str, Floats]:
    """Return the feature blocks of a figure, each a vector of fixed length."""
    top, bottom, left, right = figure.box
    side = max(bottom - top, right - left) / 2
    middle, center = (top + bottom) / 2, (left + right) / 2
    square = (middle - side, middle + side, center - side, center + side)
    lightness = np.where(figure.foreground, figure.lab[..., 0], 100).astype(np.float32)
    own = _own_color(figure)
    return {
        "skin": _window(figure.skin, square, (GRID, GRID), 0).ravel(),
        "own": _window(own, square, (GRID, GRID), 0).ravel(),
        "shape": _shape(figure),
        "rows": _rows(figure),
        "neck": _gradients(_window(lightness, _neck(figure), (64, 80), 100)),
    }


def _own_color(figure: Figure) -> Floats:
    """Closeness of each pixel to the median colour of what is neither background nor skin."""
    from scipy import ndimage

    dressed = figure.foreground & ~figure.skin
    inner = ndimage.binary_erosion(dressed)
    for mask in (inner, dressed, figure.foreground):
        if mask.any():
            median = np.median(figure.lab[mask], axis=0)
            break
    distance = np.square(figure.lab - median).sum(axis=-1)
    return np.asarray(np.exp(-distance / (2 * OWN_COLOR**2)) * dressed, dtype=np.float32)


def _neck(figure: Figure) -> Box:
    """The window from chin to breast of a person; of a thing, some window below its top."""
    top, bottom, left, right = figure.box
    height = bottom - top
    first = top + int(0.04 * height)
    rows = figure.foreground[first : max(first + 1, top + int(0.14 * height))]
    spans = [np.flatnonzero(row)[[0, -1]] for row in rows if row.any()]
    if not spans:
        spans = [np.array([left, right - 1])]
    head = min(float(np.median([b - a + 1 for a, b in spans])), HEAD * height)
    center = float(np.median([(a + b) / 2 for a, b in spans]))
    chin = top + 1.45 * head
    return chin - 0.6 * head, chin + 1.9 * head, center - 1.6 * head, center + 1.6 * head


def _shape(figure: Figure) -> Floats:
    top, bottom, left, right = figure.box
    height, width = figure.foreground.shape
    size = max(height, width)
    return np.array(
        [
            (bottom - top) / size,
            (right - left) / size,
            (right - left) / (bottom - top),
            figure.foreground.mean(),
            figure.skin.sum() / figure.foreground.sum(),
            top / height,
            1 - bottom / height,
        ],
        dtype=np.float32,
    )


def _rows(figure: Figure) -> Floats:
    """Width of the foreground, and share of skin in it, from top to bottom."""
    top, bottom, left, right = figure.box
    at = np.linspace(top, bottom - 1, ROWS).astype(int)
    widths = figure.foreground.sum(axis=1)
    skin = figure.skin.sum(axis=1) / np.maximum(1, widths)
    return np.concatenate([widths[at] / (right - left), skin[at]]).astype(np.float32)


def _gradients(window: Floats) -> Floats:
    from skimage.feature import hog

    found = hog(window, 9, (CELL, CELL), (2, 2), feature_vector=True)
    return np.asarray(found, dtype=np.float32)


def _window(
    values: npt.NDArray[np.generic], box: Box, shape: tuple[int, int], fill: float
) -> Floats:
    """Cut a window, which may reach over the edge, and resize it to `shape`."""
    from PIL import Image

    top, bottom, left, right = box
    height, width = values.shape
    over = int(np.ceil(max(1, -top, -left, bottom - height, right - width))) + 1
    padded = np.pad(values.astype(np.float32), over, constant_values=fill)
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    image = Image.fromarray(padded).resize(
        (shape[1], shape[0]),
        Image.Resampling.BILINEAR,
        box=(left + over, top + over, right + over, bottom + over),
    )
    return np.asarray(image, dtype=np.float32)
