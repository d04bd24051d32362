"""Scoring and training of two towers, one of texts and one of pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from genfilt.common.arrays import Bools, Floats, Integers, Vectors
from genfilt.common.console import track
from genfilt.common.errors import UserError
from trainer.baselines.baseline import BaselineScores, Material, device
from trainer.baselines.convergence import Trained, until_converged
from trainer.baselines.pixels import RememberedPictures
from trainer.batches.reader import Batch, BatchPlan, BatchReader, loader
from trainer.database.catalogue import Catalogue, Rows
from trainer.evaluation.scorers import Scorer, tabulated
from trainer.losses.contrastive import contrastive, image_text_contrastive
from trainer.model.parameters import weights_of
from trainer.serving.relevance_model import picture_reader

BATCH, SCORED = 32, 256


class Towers(Trained, Protocol):
    """A module of unit vectors of texts (N, D), and of pictures (N, K, D): K views of each."""

    transform: Callable[..., Tensor]

    def texts(self, texts: list[str]) -> Tensor:
        """Return the vectors (N, D) of texts."""

    def pictures(self, pixels: Tensor) -> Tensor:
        """Return the vectors (N, K, D) of pixels (N, 3, S, S)."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""


def similarity(texts: Tensor, pictures: Tensor) -> Tensor:
    """Return the scores (N,) of texts (N, D) with the picture's nearest view of (N, K, D)."""
    return torch.einsum("nd,nkd->nk", texts, pictures).amax(dim=1)


def joined(query: str, title: str) -> str:
    """Return query and title as the one text that BLIP-2 is given in the paper."""
    return f"{query} {title}"


class TowerScores:
    """Encodes a benchmark's queries, titles and pictures once, and scores its pairs."""

    def __init__(self, towers: Towers, material: Material) -> None:
        self.towers = towers.eval()
        self.material = material
        catalogue, benchmark = material.catalogue, material.benchmark
        self.query_numbers, self.product_numbers = benchmark.queries, benchmark.products
        with torch.inference_mode():
            self.query = self._texts(catalogue.texts(catalogue.queries, benchmark.queries))
            self.title = self._texts(catalogue.texts(catalogue.titles, benchmark.products))
            self.image = torch.cat(
                [towers.pictures(pixels) for pixels in self._pixels(catalogue, benchmark.products)]
            )

    def all(self) -> BaselineScores:
        """Return all scores, and the vectors of a query's products."""
        scorers = self.apart() | {"Q->M": self.together()}
        return BaselineScores(scorers, weights_of(self.towers), self.of_query)

    def of_query(self, q: int, products: Integers) -> dict[str, Vectors]:
        """Return the vectors of a query, of titles, and of each picture's view nearest to it."""
        query = self.query[np.searchsorted(self.query_numbers, q)]
        at = torch.from_numpy(np.searchsorted(self.product_numbers, products))
        views = self.image[at]
        nearest = torch.einsum("d,nkd->nk", query, views).argmax(dim=1)
        found = {
            "query": query,
            "title": self.title[at],
            "image": views[torch.arange(len(at), device=views.device), nearest],
        }
        return {name: vectors.float().cpu().numpy() for name, vectors in found.items()}

    def apart(self) -> dict[str, Scorer]:
        """Return Q->T and Q->I of the query alone, and their sum."""
        queries, products = self.material.pairs
        found = [self._pair_scores(part) for part in _slices(len(queries))]
        title = np.concatenate([scores[0] for scores in found])
        image = np.concatenate([scores[1] for scores in found])
        return {
            name: tabulated(queries, products, scores)
            for name, scores in zip(
                ("Q->T", "Q->I", "Q->T+Q->I"), (title, image, title + image), strict=True
            )
        }

    def together(self) -> Scorer:
        """Return Q->M of query and title as one text, against the picture."""
        queries, products = self.material.pairs
        catalogue = self.material.catalogue
        left = catalogue.texts(catalogue.queries, queries)
        right = catalogue.texts(catalogue.titles, products)
        rows = np.searchsorted(self.product_numbers, products)
        # The picture decides as well as the texts do, so pairs of equal texts stay apart.
        order = np.argsort(
            [len(q) + len(t) for q, t in zip(left, right, strict=True)], kind="stable"
        )
        scores = np.empty(len(order))
        with torch.inference_mode(), track("query with title, pairs", len(order)) as advance:
            for part in _slices(len(order)):
                at = order[part]
                texts = self.towers.texts([joined(left[n], right[n]) for n in at])
                found = similarity(texts, self.image[torch.from_numpy(rows[at])])
                scores[at] = found.double().cpu().numpy()
                advance(len(at))
        return tabulated(queries, products, scores)

    def _pair_scores(self, part: slice) -> tuple[Floats, Floats]:
        queries, products = self.material.pairs
        q = torch.from_numpy(np.searchsorted(self.query_numbers, queries[part]))
        p = torch.from_numpy(np.searchsorted(self.product_numbers, products[part]))
        query = self.query[q]
        title = (query * self.title[p]).sum(dim=1)
        image = similarity(query, self.image[p])
        return title.double().cpu().numpy(), image.double().cpu().numpy()

    def _texts(self, texts: list[str]) -> Tensor:
        return torch.cat([self.towers.texts(texts[part]) for part in _slices(len(texts))])

    def _pixels(self, catalogue: Catalogue, products: Integers) -> Iterator[Tensor]:
        read = picture_reader(self.towers.transform)
        for part in _slices(len(products), 32):
            pixels = []
            for path in catalogue.images.take(products[part]).to_pylist():
                try:
                    pixels.append(read(path))
                except UserError:  # as in every evaluation: seen as a white one
                    pixels.append(read(None))
            yield torch.stack(pixels).to(device())


def align(towers: Towers, material: Material, epochs: int) -> None:
    """Train towers from scratch to match titles and pictures of the train products (eq. 1).

    No query is seen: the towers stay zero-shot in queries, as the paper's checkpoints are.
    """
    catalogue = material.catalogue
    products = np.unique(material.train.product)
    rows = Rows(np.full_like(products, -1), products, np.ones(len(products), dtype=np.bool_))
    raw = nn.Parameter(torch.tensor(np.log(0.07), device=device(), dtype=torch.float32))

    def loss(batch: Batch) -> Tensor:
        titles = towers.texts(catalogue.texts(catalogue.titles, batch.products))
        pictures = towers.pictures(batch.images.to(device()))
        contents = catalogue.contents.title[batch.products]
        same = torch.from_numpy(contents[:, None] == contents[None]).to(titles.device)
        return image_text_contrastive(pictures.mean(dim=1), titles, same, raw.exp().clamp(0.01))

    _train(towers, [raw], rows, material, range(epochs), loss, rate=1e-3)


def refine(towers: Towers, material: Material, name: str, rate: float) -> None:
    """Fine-tune towers by eq. 2 on train rows: query with titles, with pictures, and joined.

    A picture is the mean of its views here, as in `align`; scores are by the nearest view.
    Epochs are run until the AUC of Q->T, Q->I and their sum has converged on val.

    Each row's query, and its query and title as one text, stand against all products of the batch;
    the positive ones are those that the train rows call relevant to the query.
    """
    catalogue = material.catalogue
    relevant = relevant_pairs(material.train)
    raw = nn.Parameter(torch.tensor(np.log(0.07), device=device(), dtype=torch.float32))

    def loss(batch: Batch) -> Tensor:
        rows = batch.rows
        queries = catalogue.texts(catalogue.queries, rows.query)
        own = catalogue.texts(catalogue.titles, rows.product)
        mask = torch.from_numpy(relevant(rows.query, batch.products)).to(device())
        # A text with an irrelevant title belongs to no picture.
        right = mask & torch.from_numpy(rows.positive).to(device())[:, None]
        query = towers.texts(queries)
        both = towers.texts([joined(q, t) for q, t in zip(queries, own, strict=True)])
        titles = towers.texts(catalogue.texts(catalogue.titles, batch.products))
        pictures = towers.pictures(batch.images.to(device())).mean(dim=1)
        temperature = raw.exp().clamp(0.01)
        return (
            contrastive(query, titles, mask, temperature)
            + contrastive(query, pictures, mask, temperature)
            + contrastive(both, pictures, right, temperature)
        )

    def scorers(judged: Material) -> Collection[Scorer]:
        return TowerScores(towers, judged).apart().values()

    epochs = until_converged(name, towers, material, scorers)
    _train(towers, [raw], material.train, material, epochs, loss, rate)


def relevant_pairs(rows: Rows) -> Callable[[Integers, Integers], Bools]:
    """Return (queries (B,), products (U,)) -> which the rows call relevant, (B, U)."""
    width = int(rows.product.max(initial=0)) + 1
    kept = rows.positive
    codes = np.unique(rows.query[kept].astype(np.int64) * width + rows.product[kept])

    def relevant(queries: Integers, products: Integers) -> Bools:
        return np.isin(queries.astype(np.int64)[:, None] * width + products[None], codes)

    return relevant


def _train(
    towers: Towers,
    more: list[nn.Parameter],
    rows: Rows,
    material: Material,
    epochs: Iterable[int],
    loss: Callable[[Batch], Tensor],
    rate: float,
) -> None:
    trained = [weight for weight in towers.parameters() if weight.requires_grad]
    groups = [{"params": trained, "lr": rate}, {"params": more, "lr": 1e-2}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    images = material.catalogue.images
    reader = BatchReader(rows, images, towers.transform, seed=None)
    reader.pictures = RememberedPictures(images, towers.transform)
    towers.train()
    for epoch in epochs:
        plan = BatchPlan(len(rows), BATCH, 1, _seed(material.seed, epoch))
        for batch in loader(reader, plan, 0, workers=0):
            if len(batch.products) == 0:
                continue
            value = loss(batch)
            optimizer.zero_grad()
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()


def _seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's order, which no other seed's epoch shares."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def _slices(count: int, size: int = SCORED) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
