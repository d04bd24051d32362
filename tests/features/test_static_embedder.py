"""The static embedder: near words are near, and it agrees with the encoder it is made of."""

import numpy as np

from genfilt.features.embedder import Embedder

TEXTS = [
    *("black leather jacket", "leather jacket black", "red ceramic mug", "ceramic coffee mug"),
    *("yoga mat", "exercise mat for yoga", "oak dining table", "wooden dining table"),
    *("wireless headphones", "bluetooth earbuds", "dog bed", "baby stroller"),
]


def test_it_gives_unit_vectors_that_order_pairs_much_as_the_encoder_does(
    embedder: Embedder,
) -> None:
    static = Embedder("static")
    assert static.name == "static-minilm-1"
    vectors = static.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (12, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    own, full = vectors @ vectors.T, embedder.encode(TEXTS) @ embedder.encode(TEXTS).T
    assert own[0, 1] > 0.999  # the order of words is not seen
    above = np.triu_indices(12, 1)
    assert np.corrcoef(own[above], full[above])[0, 1] > 0.8


def test_a_text_without_a_known_token_is_no_error() -> None:
    vectors = Embedder("static").encode(["", "mug"])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[1]) > 0.99
