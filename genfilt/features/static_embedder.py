"""A static embedder: the mean of a sentence encoder's token vectors, without its layers.

It takes no pass through the layers, and knows words, not their order. Tokens are
weighted by their rank in the vocabulary, which is ordered by frequency: rare words say more. The
common direction of all tokens is taken away, else every two texts would be near each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOKEN_TABLE = "embeddings.word_embeddings.weight"
FIRST_WORD = 999  # place of the first word of the vocabulary, after reserved tokens


def static_model(folder: Path) -> SentenceTransformer:
    """Return the static embedder of a BERT-like encoder.

    Args:
        folder: of the encoder, with model.safetensors and tokenizer.json.
    """
    import torch
    from safetensors import safe_open
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    with safe_open(folder / "model.safetensors", "np") as weights:
        table = np.asarray(weights.get_tensor(TOKEN_TABLE), dtype=np.float32)
    rank = np.maximum(np.arange(len(table)) - FIRST_WORD, 1)
    weight = np.log1p(rank).astype(np.float32)[:, None]
    table = (table - table[FIRST_WORD:].mean(axis=0)) * weight
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    module = StaticEmbedding(tokenizer, embedding_weights=torch.from_numpy(table))
    return SentenceTransformer(modules=[module], device="cpu")
