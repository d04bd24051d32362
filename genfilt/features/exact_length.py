"""Encoding of texts in batches of equal token length, which need no padding.

A padded batch computes its padding, and attention in it needs a mask. Texts of one catalogue have
few distinct lengths, so each batch takes texts of one length alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.arrays import Rows, Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOKENS_PER_BATCH = 4096  # the states of a small model's layer stay in the cache


def encode_by_length(model: SentenceTransformer, texts: list[str]) -> Vectors:
    """Return unit vectors, (len(texts), D) float32, in the order of the texts.

    The vectors are those of `model.encode` up to the rounding of sums in another order. Models
    that do not tokenise into `input_ids` (static embeddings, say) are left to `model.encode`.
    """
    import torch

    ids = _token_ids(model, texts)
    if ids is None:
        return _encode(model, texts)
    lengths = np.array([len(tokens) for tokens in ids], np.int64)
    vectors: Vectors | None = None
    for rows in _equal_lengths(lengths):
        batch = torch.tensor([ids[row] for row in rows], device=model.device)
        features = {"input_ids": batch, "attention_mask": torch.ones_like(batch)}
        with torch.inference_mode():
            found = model(features)["sentence_embedding"]
            units = torch.nn.functional.normalize(found.float(), dim=1).cpu().numpy()
        if vectors is None:
            vectors = np.empty((len(texts), units.shape[1]), np.float32)
        vectors[rows] = units
    return _encode(model, texts) if vectors is None else vectors


def _encode(model: SentenceTransformer, texts: list[str]) -> Vectors:
    found = model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
    return np.ascontiguousarray(found, dtype=np.float32)


def _token_ids(model: SentenceTransformer, texts: list[str]) -> list[list[int]] | None:
    """Return each text's tokens as the model would read them, None where it reads otherwise."""
    from transformers import PreTrainedTokenizerBase

    tokenizer = model.tokenizer
    first = model[0]
    is_plain = hasattr(first, "auto_model") and isinstance(tokenizer, PreTrainedTokenizerBase)
    if not texts or not is_plain or model.default_prompt_name is not None:
        return None
    lower = getattr(first, "do_lower_case", False)
    read = [text.strip().lower() if lower else text.strip() for text in texts]
    tokens = tokenizer(read, truncation=True, max_length=model.max_seq_length)
    return [list(ids) for ids in tokens["input_ids"]]


def _equal_lengths(lengths: Rows) -> Iterator[Rows]:
    """Yield the rows of texts of one length, at most TOKENS_PER_BATCH tokens at once."""
    order = np.argsort(lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if not len(group):
            continue
        size = max(1, TOKENS_PER_BATCH // max(1, int(lengths[group[0]])))
        for start in range(0, len(group), size):
            yield group[start : start + size]
