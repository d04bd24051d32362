"""Vectors in bfloat16: near those of float32, and kept under a name of their own."""

from __future__ import annotations

import numpy as np
import pytest

from genfilt.common.errors import UsageError
from genfilt.features.embed import embed
from genfilt.features.embedder import Embedder
from genfilt.store.store import Store

KINDS = ("mug", "jacket", "yoga mat", "desk lamp", "running shoes", "dog bed", "tent", "kettle")
FACETS = ("red", "black leather", "oak", "Boreal waterproof", "for kids", "cheap", "set of 6")
TEXTS = [f"{facet} {kind}" for kind in KINDS for facet in FACETS]


@pytest.fixture(scope="module")
def fast() -> Embedder:
    return Embedder("all-MiniLM-L6-v2+bfloat16")


def test_cosines_are_near_those_of_float32(embedder: Embedder, fast: Embedder) -> None:
    ours, exact = fast.encode(TEXTS), embedder.encode(TEXTS)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    difference = np.abs(ours @ ours.T - exact @ exact.T)
    assert difference.max() > 1e-5, "computed in float32"
    assert np.quantile(difference, 0.99) <= 2e-3
    assert difference.max() <= 4e-3


def test_the_two_precisions_share_no_vector(embedder: Embedder, fast: Embedder) -> None:
    assert fast.name == "all-MiniLM-L6-v2+bfloat16"
    assert Embedder(fast.name).name == fast.name
    with Store() as store:
        exact, ours = (embed(store, each, TEXTS[:2]) for each in (embedder, fast))
        assert (exact != ours).any()
        assert store.scalar("SELECT count(DISTINCT embedder) FROM vectors") == 2


def test_bfloat16_is_of_a_model_that_multiplies_matrices() -> None:
    with pytest.raises(UsageError, match=r"static multiplies no matrices; drop \+bfloat16"):
        Embedder("static+bfloat16")
    with pytest.raises(UsageError, match=r"\+bfloat16 names no model"):
        Embedder("+bfloat16")
