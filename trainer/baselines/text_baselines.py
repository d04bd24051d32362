"""Baselines that read titles and are not trained: BM25, and sentence embeddings as they are."""

from __future__ import annotations

from trainer.baselines.baseline import BaselineScores, Material
from trainer.config import MINILM
from trainer.evaluation.untrained import bm25, sentence_embeddings


class Bm25:
    """BM25 of queries on the catalogue's titles, by the library bm25s with its usual settings."""

    name = "BM25"

    def scores(self, material: Material) -> BaselineScores:
        """Return Q->T; a query of unknown words alone scores 0 everywhere."""
        return BaselineScores({"Q->T": bm25(material.catalogue, material.benchmark)})


class SentenceEmbeddings:
    """Inner products of sentence embeddings of query and title, not trained on the catalogue.

    Args:
        model: a sentence-transformers folder or hub name; MINILM is all-MiniLM's package.
    """

    def __init__(self, model: str = MINILM) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """The model by its name."""
        return f"sentence-transformers zero-shot ({self.model})"

    def scores(self, material: Material) -> BaselineScores:
        """Return Q->T.

        Raises:
            UserError: the model cannot be read.
        """
        benchmark = material.benchmark
        scorer = sentence_embeddings(
            material.catalogue, benchmark.queries, benchmark.products, self.model
        )
        return BaselineScores({"Q->T": scorer})
