"""Vectors are computed once, kept in the database, and read back in the order of the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from genfilt.common.arrays import Vectors
from genfilt.features.embed import Embedder, embed
from genfilt.store.store import Store


class CountingEmbedder(Embedder):
    """Counts the texts that are really embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return super().encode(texts)


def test_each_distinct_text_is_embedded_once() -> None:
    counting = CountingEmbedder()
    with Store() as store:
        first = embed(store, counting, ["mug", "kettle", "mug"])
        assert sorted(counting.embedded) == ["kettle", "mug"]
        again = embed(store, counting, ["kettle", "hoodie", "mug"])
    assert sorted(counting.embedded) == ["hoodie", "kettle", "mug"]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(again[[0, 2]], first[[1, 0]])
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1, atol=1e-6)


def test_vectors_are_read_in_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"mug number {at}" for at in range(7000)]
    embedder = Embedder()
    vectors = np.random.default_rng(0).standard_normal((len(texts), 4)).astype(np.float32)
    place = {text: row for row, text in enumerate(texts)}
    monkeypatch.setattr(embedder, "encode", lambda some: vectors[[place[text] for text in some]])
    monkeypatch.setattr("genfilt.features.embed.TEXTS_PER_READ", 2048)
    with Store() as store:
        np.testing.assert_array_equal(embed(store, embedder, texts), vectors)
        np.testing.assert_array_equal(embed(store, embedder, texts[::-1]), vectors[::-1])


def test_no_texts_have_no_vectors() -> None:
    with Store() as store:
        assert embed(store, Embedder(), []).shape[0] == 0
