"""Measures a trained model on a split: AUC, Recall@k and the picture's weight (Tables 2, 3, 6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfilt.common.arrays import Floats
from genfilt.common.statistics import Roc, bootstrap, weighted_mean
from trainer.batches.reader import read_picture
from trainer.database.catalogue import Catalogue, load_catalogue
from trainer.database.known_pairs import Integers, open_database
from trainer.evaluation.candidates import Benchmark, load_benchmark
from trainer.evaluation.metrics import (
    auc_by_group,
    image_weight,
    precision_recall,
    random_recall,
    recall_at,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from trainer.model.query_life import QueryLife

CUTS = (5, 10, 20)
BATCH = 64
Floats32 = NDArray[np.float32]
Scorer = Callable[[Integers, Integers], Floats]
"""(queries (N,), products (N,)) -> scores (N,): what a model, or a baseline, is measured by."""


@dataclass(frozen=True)
class Vectors:
    """Unit vectors (N, D) of things by number; `numbers` (N,) is sorted."""

    numbers: Integers
    values: Floats32

    def at(self, numbers: Integers) -> Floats32:
        """Return the vectors (M, D) of numbers (M,), all of them known."""
        return self.values[np.searchsorted(self.numbers, numbers)]


@dataclass(frozen=True)
class EncodedBenchmark:
    """A benchmark's queries and products as a model sees them."""

    query: Vectors
    title: Vectors
    image: Vectors
    fused: Vectors
    unread: int  # products without a readable picture, seen as a white one

    def scorers(self) -> dict[str, Scorer]:
        """Return the four scores of the paper's tables by name."""
        titles = inner_product(self.query, self.title)
        images = inner_product(self.query, self.image)
        return {
            "Q->T": titles,
            "Q->I": images,
            "Q->T+Q->I": lambda q, p: titles(q, p) + images(q, p),
            "Q->M": inner_product(self.query, self.fused),
        }


def evaluate(run: Path, db: Path, split: str = "val") -> dict[str, Any]:
    """Measure the highest stage under run; write metrics.json, metrics.md and the plots there.

    Raises:
        UserError: run holds no checkpoint, or the database nothing to measure on.
    """
    from trainer.evaluation.plots import save_precision_recall
    from trainer.training.checkpoint import latest_stage, load_config, load_model

    stage = latest_stage(run)
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, db.parent / "candidates", split)
    model = load_model(stage).to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = encode(model, catalogue, benchmark)
    scorers = encoded.scorers()
    metrics: dict[str, Any] = {name: measure(scorer, benchmark) for name, scorer in scorers.items()}
    metrics["image_weight"] = image_weights(encoded, benchmark)
    metrics["candidates"] = describe(benchmark, encoded)
    metrics["split"] = split
    metrics["config"] = load_config(stage).to_dict()
    text = json.dumps(metrics, indent=2)
    metrics = json.loads(text)  # what is returned is what was written
    (run / "metrics.json").write_text(text + "\n", "utf-8")
    (run / "metrics.md").write_text(markdown(metrics), "utf-8")
    if len(benchmark.positive):
        curves = {
            name: precision_recall(scorer(benchmark.query, benchmark.product), benchmark.positive)
            for name, scorer in scorers.items()
        }
        save_precision_recall(curves, run / "precision_recall", float(benchmark.positive.mean()))
    return metrics


def measure(scorer: Scorer, benchmark: Benchmark) -> dict[str, Any]:
    """Return AUC on the labels, over all and by query, and Recall@k on the candidate lists.

    With intervals over queries; what a split lacks (labels of both kinds, or lists) is None.
    """
    labelled = scorer(benchmark.query, benchmark.product)
    roc, queries = Roc(labelled, benchmark.positive), benchmark.query.astype(np.int64)
    made: dict[str, Any] = {
        "auc": _finite(roc.auc()),
        "auc_ci": [_finite(end) for end in bootstrap(roc.auc, queries)],
    }
    within = auc_by_group(labelled, benchmark.positive, queries)
    made |= _mean("gauc", within, queries)
    scores = score_lists(scorer, benchmark)
    for k in CUTS:
        found = recall_at(scores, k)
        made |= _mean(f"recall@{k}", found, benchmark.candidate_query.astype(np.int64))
    return made


def _mean(name: str, values: Floats, groups: NDArray[np.int64]) -> dict[str, Any]:
    known = np.isfinite(values)
    values, groups = values[known], groups[known]
    return {
        name: float(values.mean()) if len(values) else None,
        f"{name}_ci": [_finite(end) for end in bootstrap(weighted_mean(values), groups)],
    }


def score_lists(scorer: Scorer, benchmark: Benchmark) -> Floats:
    """Return the scores (N, C) of the candidate lists, -inf where a list is shorter."""
    scores = np.full(benchmark.candidates.shape, -np.inf)
    row, column = np.nonzero(benchmark.candidates >= 0)
    queries, products = benchmark.candidate_query[row], benchmark.candidates[row, column]
    for start in range(0, len(row), 1 << 16):
        part = slice(start, start + (1 << 16))
        scores[row[part], column[part]] = scorer(queries[part], products[part])
    return scores


def inner_product(left: Vectors, right: Vectors) -> Scorer:
    """Return the scorer that is the inner product of two sides' vectors."""

    def score(queries: Integers, products: Integers) -> Floats:
        pairs = np.einsum("nd,nd->n", left.at(queries), right.at(products), dtype=np.float64)
        return np.asarray(pairs, dtype=np.float64)

    return score


@torch.inference_mode()
def encode(model: QueryLife, catalogue: Catalogue, benchmark: Benchmark) -> EncodedBenchmark:
    """Return the vectors of all that a benchmark names, each distinct number encoded once."""
    model.eval()
    queries, products = benchmark.queries, benchmark.products
    device = next(model.parameters()).device
    q = [
        model.encode_queries(*_tokens(model, catalogue, catalogue.queries, part, device)).embedding
        for part in _parts(queries)
    ]
    titles, images, fused, unread = [], [], [], 0
    for part in _parts(products):
        ids, mask = _tokens(model, catalogue, catalogue.titles, part, device)
        pixels, missing = _pictures(model, catalogue, part)
        picture = model.encode_images(pixels.to(device))
        titles.append(model.encode_titles(ids, mask).embedding)
        images.append(picture.embedding)
        fused.append(model.fuse(ids, mask, picture.states).embedding)
        unread += missing
    return EncodedBenchmark(
        query=Vectors(queries, _stacked(q)),
        title=Vectors(products, _stacked(titles)),
        image=Vectors(products, _stacked(images)),
        fused=Vectors(products, _stacked(fused)),
        unread=unread,
    )


def _parts(numbers: Integers) -> Iterator[Integers]:
    return (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))


def _tokens(
    model: QueryLife,
    catalogue: Catalogue,
    source: pa.ChunkedArray,
    numbers: Integers,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    tokens = model.tokenize(catalogue.texts(source, numbers))
    return tokens["input_ids"].to(device), tokens["attention_mask"].to(device)


def _pictures(model: QueryLife, catalogue: Catalogue, products: Integers) -> tuple[Tensor, int]:
    from PIL import Image

    # Every product of a list stays in it, so that all models rank the same lists: one whose
    # picture cannot be read is shown as a white one.
    transform = model.image_transform
    pixels, unread = [], 0
    for path in catalogue.images.take(products).to_pylist():
        try:
            if path is None:
                raise FileNotFoundError
            pixels.append(read_picture(path, transform))
        except (OSError, ValueError, SyntaxError):
            unread += 1
            pixels.append(transform(Image.new("RGB", (8, 8), "white")))
    return torch.stack(pixels), unread


def _stacked(parts: list[Tensor]) -> Floats32:
    return np.asarray(torch.cat(parts).float().cpu().numpy(), dtype=np.float32)


def image_weights(encoded: EncodedBenchmark, benchmark: Benchmark) -> dict[str, float | None]:
    """Return the mean weight of the picture in M over a split's products, by category (Table 6)."""
    products = np.fromiter(benchmark.categories, np.int32, len(benchmark.categories))
    names = np.array(list(benchmark.categories.values()))
    fused = encoded.fused.at(products)
    weight = image_weight(
        np.einsum("nd,nd->n", fused, encoded.image.at(products), dtype=np.float64),
        np.einsum("nd,nd->n", fused, encoded.title.at(products), dtype=np.float64),
    )
    found = {str(name): weight[names == name] for name in np.unique(names)}
    return {
        name: _finite(float(np.nanmean(part))) if np.isfinite(part).any() else None
        for name, part in found.items()
    }


def describe(benchmark: Benchmark, encoded: EncodedBenchmark) -> dict[str, Any]:
    """Return what the measures were taken on, with the Recall@k of a random order."""
    sizes = benchmark.sizes
    return {
        "mean": _finite(float(sizes.mean())) if len(sizes) else None,
        **{f"random_recall@{k}": _finite(random_recall(sizes, k)) for k in CUTS},
        "lists": len(sizes),
        "relevant": benchmark.source,
        "labels": len(benchmark.positive),
        "positive_labels": int(benchmark.positive.sum()),
        "white_pictures": encoded.unread,
    }


def markdown(metrics: dict[str, Any]) -> str:
    """Return the metrics as Markdown tables."""
    shown = metrics["candidates"]
    lines = [
        f"Split {metrics['split']}: {shown['labels']} labels, {shown['positive_labels']} of them "
        f"positive; {shown['lists']} candidate lists around a {shown['relevant']}, "
        f"{_number(shown['mean'], 1)} products each on average.",
        "",
        "| score | AUC (95 % interval) | by query | "
        + " | ".join(f"Recall@{k}" for k in CUTS)
        + " |",
        "|---|---|---|" + "---|" * len(CUTS),
    ]
    for name in ("Q->T", "Q->I", "Q->T+Q->I", "Q->M"):
        row = metrics[name]
        interval = " to ".join(_number(end) for end in row["auc_ci"])
        recalls = " | ".join(_number(row[f"recall@{k}"]) for k in CUTS)
        lines.append(
            f"| {name} | {_number(row['auc'])} ({interval}) | {_number(row['gauc'])} | {recalls} |"
        )
    chance = " | ".join(_number(shown[f"random_recall@{k}"]) for k in CUTS)
    lines += [f"| random order | {_number(0.5)} | {_number(0.5)} | {chance} |", ""]
    lines += ["| category | image weight |", "|---|---|"]
    lines += [f"| {name} | {_number(w)} |" for name, w in metrics["image_weight"].items()]
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
