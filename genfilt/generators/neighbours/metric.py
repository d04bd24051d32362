"""A learnt metric under which pictures of one kind of product lie close together.

Linear discriminant analysis (R. A. Fisher, The use of multiple measurements in taxonomic problems,
1936) with a shrunken within-class covariance, on features whose blocks have equal variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.segmentation import Floats

BLOCK_COMPONENTS = 32  # principal components kept of each feature block
DIMENSIONS = 48  # of the learnt space at most
SHRINKAGE = 0.3  # towards a multiple of the identity


@dataclass(frozen=True)
class Basis:
    """Centre and principal directions of features: (D,) and (D, C)."""

    center: Floats
    directions: Floats

    def reduce(self, features: Floats) -> Floats:
        """Return (N, C) of features (N, D)."""
        reduced = (features - self.center) @ self.directions
        return np.asarray(reduced, dtype=np.float32)


def fit_basis(features: Floats, lengths: npt.NDArray[np.int64]) -> Basis:
    """Find the principal directions of each block of features (N, D), scaled to equal variance.

    Args:
        features: rows of concatenated blocks.
        lengths: the blocks' lengths, D in sum.
    """
    center: Floats = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    parts: list[Floats] = []
    start = 0
    for length in lengths:
        block = features[:, start : start + length] - center[start : start + length]
        spread = np.sqrt(np.square(block).sum(axis=1).mean()) or 1.0
        values, vectors = np.linalg.eigh((block.T @ block).astype(np.float64))
        # One direction at least: in a small catalogue all pictures may look alike.
        some = int((values > 1e-9 * max(1e-30, values[-1])).sum())
        kept = min(BLOCK_COMPONENTS, max(1, some))
        full = np.zeros((features.shape[1], kept), dtype=np.float32)
        full[start : start + length] = (_signed(vectors[:, ::-1][:, :kept]) / spread).astype(
            np.float32
        )
        parts.append(full)
        start += int(length)
    return Basis(center, np.hstack(parts))


def fit_metric(reduced: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """Return the projection (C, K) of reduced features (N, C) that parts the classes (N,) best."""
    present, members = np.unique(classes, return_inverse=True)
    data = reduced.astype(np.float64)
    counts = np.bincount(members)
    means = np.zeros((len(present), data.shape[1]))
    np.add.at(means, members, data)
    means /= counts[:, None]
    within = data - means[members]
    covariance = within.T @ within / max(1, len(data) - len(present))
    level = max(np.trace(covariance) / len(covariance), 1e-12)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    white = vectors / np.sqrt(values)
    spread = (means - means.mean(axis=0)) @ white
    _, _, axes = np.linalg.svd(spread, full_matrices=False)
    kept = max(1, min(len(present) - 1, DIMENSIONS, len(axes)))
    projection: Floats = (white @ _signed(axes[:kept].T)).astype(np.float32)
    return projection


def _signed(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fix the sign that an eigenvector leaves open, so that equal data give equal bytes."""
    largest = np.argmax(np.abs(columns), axis=0)
    signs = np.sign(columns[largest, np.arange(columns.shape[1])])
    return columns * np.where(signs == 0, 1, signs)
