"""The learnt metric: kinds lie apart, and nothing fails where there is nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest

from genfilt.generators.neighbours.metric import DIMENSIONS, fit_basis, fit_metric


def test_kinds_lie_apart_though_most_of_the_variance_is_shared() -> None:
    noise = np.random.default_rng(0)
    classes = np.arange(60) % 3
    features = noise.normal(size=(60, 12)).astype(np.float32)
    features[:, 0] *= 30  # tells nothing
    features[:, 5] += 4 * classes
    basis = fit_basis(features, np.array([4, 8]))
    reduced = basis.reduce(features)
    places = reduced @ fit_metric(reduced, classes)
    centers = np.stack([places[classes == kind].mean(axis=0) for kind in range(3)])
    nearest = np.square(places[:, None] - centers).sum(axis=-1).argmin(axis=1)
    assert (nearest == classes).mean() > 0.95


@pytest.mark.parametrize(
    ("rows", "classes"), [(6, [0] * 6), (3, [0, 1, 2]), (1, [0]), (2, [0, 1]), (4, [0, 0, 1, 1])]
)
@pytest.mark.parametrize("alike", [True, False])
def test_small_or_uniform_catalogues_have_a_metric(
    rows: int, classes: list[int], alike: bool
) -> None:
    noise = np.random.default_rng(1)
    features = np.ones((rows, 9)) if alike else noise.normal(size=(rows, 9))
    basis = fit_basis(features.astype(np.float32), np.array([4, 5]))
    reduced = basis.reduce(features.astype(np.float32))
    projection = fit_metric(reduced, np.array(classes))
    assert projection.shape[0] == reduced.shape[1]
    assert 1 <= projection.shape[1] <= DIMENSIONS
    assert np.isfinite(reduced @ projection).all()


def test_kinds_of_one_repeated_picture_each_have_a_metric() -> None:
    classes = np.arange(12) % 3
    features = np.eye(9, dtype=np.float32)[classes]
    reduced = fit_basis(features, np.array([9])).reduce(features)
    projected = reduced @ fit_metric(reduced, classes)
    assert len(np.unique(projected.round(5), axis=0)) == 3


def test_equal_data_give_equal_bytes() -> None:
    noise = np.random.default_rng(2)
    features, classes = noise.normal(size=(40, 10)).astype(np.float32), np.arange(40) % 4
    first, again = (fit_basis(features, np.array([10])) for _ in range(2))
    assert first.directions.tobytes() == again.directions.tobytes()
    reduced = first.reduce(features)
    assert fit_metric(reduced, classes).tobytes() == fit_metric(reduced, classes).tobytes()
