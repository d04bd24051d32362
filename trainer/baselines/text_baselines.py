"""Baselines that read titles and learn nothing: BM25, and sentence embeddings as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from genfilt.common.arrays import Floats
from genfilt.common.errors import UserError
from trainer.baselines.baseline import Material, tabulated
from trainer.config import MINILM
from trainer.database.catalogue import Catalogue
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.evaluate import Scorer, Vectors, inner_product
from trainer.model.encoder import bert_folder


class Bm25:
    """BM25 of queries on the catalogue's titles, by the library bm25s with its usual settings."""

    name = "BM25"

    def scorers(self, material: Material) -> dict[str, Scorer]:
        """Return Q->T; a query of unknown words alone scores 0 everywhere."""
        import bm25s

        catalogue: Catalogue = material.catalogue
        queries, products = material.pairs
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
            scores[mine] = self._scores(index, catalogue, int(q))[column[mine]]
        return {"Q->T": tabulated(queries, products, scores)}

    def _scores(self, index: Any, catalogue: Catalogue, q: int) -> Floats:
        import bm25s

        text = catalogue.texts(catalogue.queries, np.array([q], dtype=np.int32))
        words = bm25s.tokenize(
            text, stopwords=None, show_progress=False, return_ids=False, allow_empty=True
        )[0]
        known = [word for word in words if word in index.vocab_dict]
        if not known:
            return np.zeros(index.scores["num_docs"])
        return np.asarray(index.get_scores(known), dtype=np.float64)


class SentenceEmbeddings:
    """Inner products of sentence embeddings of query and title, not trained on the catalogue.

    Args:
        model: a sentence-transformers folder or hub name; all-MiniLM of its package else.
    """

    def __init__(self, model: str = MINILM) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """The model by its name."""
        return f"sentence-transformers zero-shot ({self.model})"

    def scorers(self, material: Material) -> dict[str, Scorer]:
        """Return Q->T.

        Raises:
            UserError: the model cannot be read.
        """
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(bert_folder(self.model))
        except (OSError, ValueError) as fault:
            raise UserError(
                f"No sentence-transformers model can be read from '{self.model}' "
                f"({str(fault).splitlines()[0]}); give a folder or a hub name that holds one."
            ) from fault
        catalogue, benchmark = material.catalogue, material.benchmark
        sides = _sides(catalogue, benchmark)
        query, title = (
            Vectors(
                numbers,
                np.asarray(
                    model.encode(texts, normalize_embeddings=True, show_progress_bar=False),
                    dtype=np.float32,
                ),
            )
            for numbers, texts in sides
        )
        return {"Q->T": inner_product(query, title)}


def _sides(catalogue: Catalogue, benchmark: Benchmark) -> list[tuple[Any, list[str]]]:
    queries, products = benchmark.queries, benchmark.products
    return [
        (queries, catalogue.texts(catalogue.queries, queries)),
        (products, catalogue.texts(catalogue.titles, products)),
    ]
