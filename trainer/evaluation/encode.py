"""Vectors of a benchmark's queries and products, as a trained model computes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genfilt.common.arrays import Integers, Vectors
from trainer.batches.picture_pack import PicturePack, PictureSource
from trainer.database.catalogue import Catalogue
from trainer.distributed import total
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.measures import finite
from trainer.evaluation.metrics import image_weight
from trainer.evaluation.read_ahead import read_ahead
from trainer.evaluation.scorers import NumberedVectors, Scorer, added, inner_product
from trainer.process_group import joined_dicts, joined_rows, my_part

if TYPE_CHECKING:
    import pyarrow as pa

    from trainer.model.query_life import QueryLife

BATCH = 64


@dataclass(frozen=True)
class EncodedBenchmark:
    """A benchmark's queries and products as vectors of a model."""

    query: NumberedVectors
    title: NumberedVectors
    image: NumberedVectors
    fused: NumberedVectors
    white: int  # products without a readable picture, encoded as a white one
    unreadable: dict[int, str]  # of these the products whose file cannot be read, with the reason
    learned: int | None = None  # first columns, without an untrained copy's; None for all

    def scorers(self) -> dict[str, Scorer]:
        """Return the four scores of the paper's tables by name."""
        titles = inner_product(self.query, self.title)
        images = inner_product(self.query, self.image)
        return {
            "Q->T": titles,
            "Q->I": images,
            "Q->T+Q->I": added(titles, images),
            "Q->M": inner_product(self.query, self.fused),
        }

    def of_query(self, q: int, products: Integers) -> dict[str, Vectors]:
        """Return the vectors of a query, and of titles, pictures and M of products."""
        return {
            "query": self.query.at(np.array([q], dtype=np.int32))[0],
            "title": self.title.at(products),
            "image": self.image.at(products),
            "fused": self.fused.at(products),
        }


def encode(
    model: QueryLife, catalogue: Catalogue, benchmark: Benchmark, pack: PicturePack | None = None
) -> EncodedBenchmark:
    """Return the vectors of all that a benchmark names, each distinct number encoded once."""
    return encode_numbers(model, catalogue, benchmark.queries, benchmark.products, pack)


@torch.inference_mode()
def encode_numbers(
    model: QueryLife,
    catalogue: Catalogue,
    queries: Integers,
    products: Integers,
    pack: PicturePack | None = None,
) -> EncodedBenchmark:
    """Return the vectors of queries (Q,) and products (P,), both sorted and distinct.

    Each process encodes its part of them, and all get all vectors.
    """
    model.eval()
    device = next(model.parameters()).device
    q = [
        model.encode_queries(*_tokens(model, catalogue, catalogue.queries, part, device)).embedding
        for part in _parts(queries[my_part(len(queries), BATCH)])
    ]
    titles, images, fused, white = [], [], [], 0
    unreadable: dict[int, str] = {}
    mine = products[my_part(len(products), BATCH)]
    source = PictureSource(catalogue.images, model.image_transform, pack)
    for part, (pixels, missing, faults) in read_ahead(source, _parts(mine)):
        ids, mask = _tokens(model, catalogue, catalogue.titles, part, device)
        picture = model.encode_images(pixels.to(device))
        titles.append(model.encode_titles(ids, mask).embedding)
        images.append(picture.embedding)
        fused.append(model.fuse(ids, mask, picture.states).embedding)
        white += missing + len(faults)
        unreadable |= faults
    width = model.width
    everything = [joined_rows(_stacked(part, width), device) for part in (q, titles, images, fused)]
    by_query, by_title, by_image, by_both = everything
    return EncodedBenchmark(
        query=NumberedVectors(queries, by_query),
        title=NumberedVectors(products, by_title),
        image=NumberedVectors(products, by_image),
        fused=NumberedVectors(products, by_both),
        white=int(total(torch.tensor(white, device=device))),
        unreadable=joined_dicts(unreadable),
        learned=model.config.embed_dim,
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


def _stacked(parts: list[Tensor], width: int) -> Vectors:
    if not parts:
        return np.empty((0, width), dtype=np.float32)
    return np.asarray(torch.cat(parts).float().cpu().numpy(), dtype=np.float32)


def image_weights(
    encoded: EncodedBenchmark, group_of: Mapping[int, str]
) -> dict[str, float | None]:
    """Return the mean weight of the picture in M by group of products (Table 6).

    The learned columns count alone: an untrained copy's stand in M and T, and in no picture.

    Args:
        encoded: the vectors of all those products.
        group_of: each product's category, say.
    """
    products = np.fromiter(group_of, np.int32, len(group_of))
    names = np.array(list(group_of.values()))
    fused, image, title = (
        side.at(products)[:, : encoded.learned].astype(np.float64)
        for side in (encoded.fused, encoded.image, encoded.title)
    )
    # Beside a copy the picture's columns are longer than the title's.
    by_image, by_title = (
        np.einsum("nd,nd->n", fused, side / np.linalg.norm(side, axis=1, keepdims=True))
        for side in (image, title)
    )
    weight = image_weight(by_image, by_title)
    found = {str(name): weight[names == name] for name in np.unique(names)}
    return {
        name: finite(float(np.nanmean(part))) if np.isfinite(part).any() else None
        for name, part in found.items()
    }
