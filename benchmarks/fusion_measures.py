"""Measures of benchmarks/fusion.py: every score on labels, lists and the whole truth of a shop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from genfilt.common.statistics import auc
from trainer.ablation.effect.truth import (
    PairSet,
    Truth,
    load_truth,
    pair_matrix,
    pair_metrics,
    relevant_pairs,
)
from trainer.config import MINILM
from trainer.database.catalogue import Catalogue
from trainer.database.reading import columns, open_database
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.encode import EncodedBenchmark, encode_numbers
from trainer.evaluation.evaluate import Measured
from trainer.evaluation.metrics import recall_at
from trainer.evaluation.scorers import NumberedVectors, Scorer, added, inner_product, score_lists
from trainer.model.query_life import QueryLife
from trainer.model.untrained_copy import load_untrained_copy

# Shares of the untrained cosine in scores of finished models: of queries in seen words, of others.
SHARES = ((0.0, 0.5), (0.1, 0.5), (0.2, 0.5), (0.3, 0.3), (0.5, 0.5), (0.0, 0.7), (0.2, 0.7))
NUMBERED = """
SELECT DISTINCT q, p FROM true_pairs JOIN query_no USING (query_id)
JOIN product_no USING (product_id)
"""
HALVES = np.full((1, 1), 0.5)
Figures = dict[str, float | None]
Sides = tuple[NumberedVectors, NumberedVectors]


@dataclass(frozen=True)
class FusionBench:
    """A shop's labels and lists in groups of queries, and its truth."""

    measured: Measured
    groups: Mapping[str, Benchmark]  # all, seen, held out
    truth: Truth | None
    new: Mapping[str, tuple[np.ndarray, PairSet]]  # the split's queries with all its products

    @classmethod
    def read(cls, db: Path, truth: Path, split: str) -> FusionBench:
        """Read a database, and its truth where the file exists."""
        measured = Measured.read(db, split)
        groups = {"all": measured.benchmark, **measured.groups}
        if not truth.exists():
            return cls(measured, groups, None, {})
        with open_database(db) as connection:
            warm_and_cold = load_truth(connection, truth, split)
            connection.register("true_pairs", relevant_pairs(truth))
            pairs = columns(connection, NUMBERED)
        q, p = (np.asarray(pairs[name], dtype=np.int32) for name in ("q", "p"))
        products = warm_and_cold.cold.products
        new = {}
        for name, group in groups.items():
            relevant = pair_matrix(group.queries, products, q, p)
            new[name] = (group.queries, PairSet(products, relevant, np.zeros_like(relevant)))
        return cls(measured, groups, warm_and_cold, new)

    def figures(self, model: QueryLife) -> Figures:
        """Return all figures of a model by name: score, what it is measured on, measure."""
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        benchmark = self.measured.benchmark
        queries, products = benchmark.queries, benchmark.products
        if self.truth is not None:
            queries = np.union1d(queries, self.truth.queries).astype(np.int32)
            products = np.union1d(products, self.truth.products).astype(np.int32)
        model.untrained = None  # its share is tried below
        encoded = encode_numbers(model, self.measured.catalogue, queries, products)
        known = untrained_sides(model, self.measured, queries, products)
        unseen = unseen_words(model, self.measured.catalogue, queries)
        found: Figures = {}
        for name, sides in scores_of(encoded, known, unseen).items():
            found |= {f"{name} {key}": value for key, value in self._labels(sides).items()}
            if len(sides) == 1:
                found |= {f"{name} {key}": value for key, value in self._truth(sides[0]).items()}
        return found

    def _labels(self, sides: tuple[Sides, ...]) -> Figures:
        scorer: Scorer = inner_product(*sides[0])
        for more in sides[1:]:
            scorer = added(scorer, inner_product(*more))
        found: Figures = {}
        for name, group in self.groups.items():
            if len(group.positive):
                scores = scorer(group.query, group.product)
                found[f"{name} auc"] = float(auc(scores, group.positive))
            if len(group.candidate_query):
                lists = score_lists(scorer, group)
                found[f"{name} recall@10"] = float(np.mean(recall_at(lists, 10)))
        return found

    def _truth(self, sides: Sides) -> Figures:
        if self.truth is None:
            return {}
        query, product = sides
        sets = {f"new {name}": value for name, value in self.new.items()}
        sets |= {"warm": (self.truth.queries, self.truth.warm)}
        sets |= {"cold": (self.truth.queries, self.truth.cold)}
        found: Figures = {}
        for name, (queries, pairs) in sets.items():
            if not len(queries):
                continue
            scores = (query.at(queries) @ product.at(pairs.products).T).astype(np.float64)
            measures = pair_metrics(scores, pairs)
            found |= {f"{name} auc": measures.auc, f"{name} recall@10": measures.recall}
        return found


def scores_of(
    encoded: EncodedBenchmark, known: Sides, unseen: np.ndarray | None
) -> dict[str, tuple[Sides, ...]]:
    """Return the two sides of every score, of the sum both pairs, and the mixtures.

    `unseen` says for each query whether it has a word that is new to training; None: no mixtures.
    """
    titles, images = (encoded.query, encoded.title), (encoded.query, encoded.image)
    fused = (encoded.query, encoded.fused)
    found: dict[str, tuple[Sides, ...]] = {
        "Q->T": (titles,),
        "Q->I": (images,),
        "sum": (titles, images),
        "Q->M": (fused,),
        "untrained": (known,),
    }
    if unseen is not None:
        for seen, other in SHARES:
            share = np.where(unseen, other, seen)[:, None]
            for name, sides in (("Q->T", titles), ("Q->M", fused)):
                mixed = (mixed_of(sides[0], known[0], share), mixed_of(sides[1], known[1], HALVES))
                found[f"{name} + untrained {seen}/{other}"] = (mixed,)
    return found


def mixed_of(own: NumberedVectors, known: NumberedVectors, share: np.ndarray) -> NumberedVectors:
    """Return both vectors as one of unit length, weighted by shares (N, 1) or (1, 1)."""
    length = np.hypot(share, 1 - share)
    parts = [(1 - share) / length * own.values, share / length * known.values]
    return NumberedVectors(own.numbers, np.concatenate(parts, axis=1))


@torch.inference_mode()
def unseen_words(model: QueryLife, catalogue: Catalogue, queries: np.ndarray) -> np.ndarray | None:
    """Return for each query whether it has a word that training never read; None if not known."""
    if model.seen_words is None:
        return None
    tokens = model.tokenize(catalogue.texts(catalogue.queries, queries))
    device = model.seen_words.marks.device
    ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
    unseen: np.ndarray = model.seen_words.unseen(ids, mask).cpu().numpy()
    return unseen


@torch.inference_mode()
def untrained_sides(
    model: QueryLife, measured: Measured, queries: np.ndarray, products: np.ndarray
) -> Sides:
    """Return the untrained checkpoint's vectors of queries and titles."""
    device = next(model.parameters()).device
    config = replace(model.config, bert=MINILM, untrained_share=0.5)
    copy = load_untrained_copy(config)
    assert copy is not None
    copy = copy.to(device)
    catalogue = measured.catalogue

    def encoded(numbers: np.ndarray, texts: list[str]) -> NumberedVectors:
        made = []
        for start in range(0, len(texts), 256):
            tokens = model.tokenize(texts[start : start + 256])
            ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
            made.append(copy.vectors(ids, mask).cpu())
        return NumberedVectors(numbers, torch.cat(made).numpy())

    return (
        encoded(queries, catalogue.texts(catalogue.queries, queries)),
        encoded(products, catalogue.texts(catalogue.titles, products)),
    )
