"""Scores that no training on the catalogue has touched: BM25, and sentence embeddings as they are.

Both read titles alone. They stand beside every trained score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from genfilt.common.arrays import Floats, Integers
from genfilt.common.errors import UserError
from trainer.config import MINILM
from trainer.database.catalogue import Catalogue
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import (
    NumberedVectors,
    Scorer,
    inner_product,
    pairs_of,
    tabulated,
)
from trainer.model.encoder import bert_folder
from trainer.process_group import joined_rows, my_part

if TYPE_CHECKING:
    import pyarrow as pa


class _Index(Protocol):
    vocab_dict: dict[str, int]
    scores: dict[str, int]

    def get_scores(self, words: list[str]) -> Floats: ...


def bm25(catalogue: Catalogue, benchmark: Benchmark) -> Scorer:
    """Return BM25 of query and title (Q->T), by the library bm25s with its usual settings.

    The index holds every title of the catalogue; a query of unknown words alone scores 0.
    """
    import bm25s

    queries, products = pairs_of(benchmark)
    everything = np.flatnonzero(np.asarray(catalogue.titles.is_valid())).astype(np.int32)
    index = bm25s.BM25()
    titles = bm25s.tokenize(
        catalogue.texts(catalogue.titles, everything), stopwords=None, show_progress=False
    )
    index.index(titles, show_progress=False)
    scores = np.zeros(len(queries))
    column = np.searchsorted(everything, products)
    for q in np.unique(queries):
        mine = queries == q
        scores[mine] = _bm25_scores(cast("_Index", index), catalogue, int(q))[column[mine]]
    return tabulated(queries, products, scores)


def _bm25_scores(index: _Index, catalogue: Catalogue, q: int) -> Floats:
    import bm25s

    text = catalogue.texts(catalogue.queries, np.array([q], dtype=np.int32))
    words = bm25s.tokenize(
        text, stopwords=None, show_progress=False, return_ids=False, allow_empty=True
    )[0]
    known = [word for word in words if word in index.vocab_dict]
    if not known:
        return np.zeros(index.scores["num_docs"])
    return np.asarray(index.get_scores(known), dtype=np.float64)


def sentence_embeddings(
    catalogue: Catalogue, queries: Integers, products: Integers, model: str = MINILM
) -> Scorer:
    """Return the cosine of query and title (Q->T) under a sentence-transformers model.

    Each process encodes its part of the texts, and all get all vectors.

    Args:
        catalogue: of the texts.
        queries: (Q,) the distinct numbers that are scored, sorted.
        products: (P,) the distinct numbers that are scored, sorted.
        model: a folder or hub name; MINILM is the one of the installed package.

    Raises:
        UserError: the model cannot be read.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        embedder = SentenceTransformer(bert_folder(model))
    except (OSError, ValueError) as fault:
        raise UserError(
            f"No sentence-transformers model can be read from '{model}' "
            f"({str(fault).splitlines()[0]}); give a folder or a hub name that holds one."
        ) from fault

    def encoded(numbers: Integers, source: pa.ChunkedArray) -> NumberedVectors:
        texts = catalogue.texts(source, numbers[my_part(len(numbers))])
        width = int(embedder.get_embedding_dimension() or 0)
        made = embedder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        mine = np.asarray(made, dtype=np.float32).reshape(-1, width)
        return NumberedVectors(numbers, joined_rows(mine, embedder.device))

    return inner_product(encoded(queries, catalogue.queries), encoded(products, catalogue.titles))
