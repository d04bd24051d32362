"""Batches of equal token length give the vectors that sentence-transformers gives."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from genfilt.features.embed import Embedder
from genfilt.features.exact_length import encode_by_length

TEXTS = ["mug", "", "red leather jacket for women with a hood", "RED mug", " mug ", "kettle 1.7 l"]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer(Embedder().path)


def test_vectors_are_those_of_sentence_transformers(model: SentenceTransformer) -> None:
    texts = [*TEXTS, "word " * 400, *(f"black boots size {size}" for size in range(30, 50))]
    ours = encode_by_length(model, texts)
    theirs = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous


def test_a_long_group_takes_several_batches(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"mug number {at}" for at in range(10)] + TEXTS
    whole = encode_by_length(model, texts)
    monkeypatch.setattr("genfilt.features.exact_length.TOKENS_PER_BATCH", 12)
    np.testing.assert_allclose(encode_by_length(model, texts), whole, atol=2e-6)


def test_no_texts_have_no_vectors(model: SentenceTransformer) -> None:
    assert len(encode_by_length(model, [])) == 0


def test_a_model_without_attention_is_left_to_itself(model: SentenceTransformer) -> None:
    table = StaticEmbedding(model.tokenizer.backend_tokenizer, embedding_dim=8)
    static = SentenceTransformer(modules=[table], device="cpu")
    ours = encode_by_length(static, ["red mug", "kettle"])
    theirs = static.encode(["red mug", "kettle"], normalize_embeddings=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
