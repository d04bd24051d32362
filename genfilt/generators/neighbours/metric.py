"""A learnt metric under which pictures of one kind of product lie close together.

Principal components of each block of features, scaled to equal variance, then linear discriminant
analysis (R. A. Fisher, The use of multiple measurements in taxonomic problems, 1936) with a
shrunken within-class covariance, both scikit-learn's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genfilt.generators.neighbours.segmentation import Floats

BLOCK_COMPONENTS = 32  # principal components kept of each feature block
DIMENSIONS = 48  # of the learnt space at most
SHRINKAGE = 0.3  # of the covariance towards a diagonal one: there are few pictures of each kind
MIN_VARIANCE = 1e-9  # of a component, as a share of the largest one's


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
    from sklearn.decomposition import PCA

    center: Floats = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    parts: list[Floats] = []
    start = 0
    for length in lengths:
        block = features[:, start : start + length] - center[start : start + length]
        spread = np.sqrt(np.square(block).sum(axis=1).mean()) or 1.0
        axes = np.eye(1, int(length))  # in a small catalogue all pictures may look alike
        if block.any():
            most = min(BLOCK_COMPONENTS, *block.shape)
            found = PCA(n_components=most, svd_solver="covariance_eigh")
            variances = found.fit(block.astype(np.float64)).explained_variance_
            axes = found.components_[variances > MIN_VARIANCE * variances[0]]
        full = np.zeros((features.shape[1], len(axes)), dtype=np.float32)
        full[start : start + length] = axes.T / spread
        parts.append(full)
        start += int(length)
    return Basis(center, np.hstack(parts))


def fit_metric(reduced: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """Return the projection (C, K) of reduced features (N, C) that separates the classes (N,) best.

    Without two classes of which one has two different pictures there is nothing to learn, and the
    first components are the projection.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    kinds, members = np.unique(classes, return_inverse=True)
    present = len(kinds)
    first = np.unique(members, return_index=True)[1]  # a picture of each kind
    varies = (reduced != reduced[first][members]).any()  # within a kind
    if present < 2 or not varies:
        return np.eye(reduced.shape[1], dtype=np.float32)[:, :DIMENSIONS]
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    with warnings.catch_warnings():  # a kind with one picture adds nothing to the covariance
        warnings.filterwarnings("ignore", message="Only one sample available")
        axes = analysis.fit(reduced.astype(np.float64), classes).scalings_
    kept = max(1, min(present - 1, DIMENSIONS, axes.shape[1]))
    return np.ascontiguousarray(_signed(axes[:, :kept]), dtype=np.float32)


def _signed(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fix the sign that an eigenvector leaves open, so that equal data give equal bytes."""
    largest = np.argmax(np.abs(columns), axis=0)
    signs = np.sign(columns[largest, np.arange(columns.shape[1])])
    return columns * np.where(signs == 0, 1, signs)
