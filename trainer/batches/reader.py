"""The order of a stage's rows and the pictures behind them, read in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genfilt.common.arrays import Integers
from trainer.batches.vision_cache import FeatureCache
from trainer.database.catalogue import Catalogue, Rows

if TYPE_CHECKING:
    import pyarrow as pa

Item = tuple[int, NDArray[np.int64]]  # batch number, places of its rows


@dataclass(frozen=True)
class BatchPlan:
    """The order of rows: each epoch a new permutation cut into equal batches.

    It hangs on (seed, epoch) alone, and each process takes its part of the same batch, so runs on
    one and on several processes, resumed or not, see the same batches.
    """

    rows: int
    batch_size: int
    epochs: int
    seed: int
    rank: int = 0
    processes: int = 1

    @property
    def batches_an_epoch(self) -> int:
        """How many batches an epoch is cut into."""
        return -(-self.rows // self.batch_size)

    @property
    def batches(self) -> int:
        """How many batches the stage has."""
        return self.epochs * self.batches_an_epoch

    def order(self, first: int = 0) -> Iterator[Item]:
        """Yield (batch number, places of this process's rows) from batch number `first` on."""
        start, within = divmod(first, self.batches_an_epoch)
        for epoch in range(start, self.epochs):
            shuffled = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            parts = np.array_split(shuffled, self.batches_an_epoch)
            for number in range(within, self.batches_an_epoch):
                mine = np.array_split(parts[number], self.processes)[self.rank]
                yield epoch * self.batches_an_epoch + number, mine
            within = 0


@dataclass(frozen=True)
class Batch:
    """Rows of one process with their pictures: each distinct product is read once.

    `images` is (U, 3, S, S), or (U, P, W) from a feature cache, of products (U,); row i shows
    product products[product_of_row[i]]. Rows whose picture could not be read are left out.
    """

    number: int
    rows: Rows
    products: Integers
    product_of_row: NDArray[np.int64]
    images: Tensor
    unread: list[tuple[int, str]]


class BatchReader(Dataset[Batch]):
    """Reads the pictures of a batch; runs in worker processes."""

    def __init__(
        self,
        rows: Rows,
        images: pa.ChunkedArray,
        transform: Callable[..., Tensor],
        seed: int | None,
        features: FeatureCache | None = None,
    ) -> None:
        self.rows = rows
        self.images = images
        self.transform = transform
        self.seed = seed
        self.features = features

    def __getitem__(self, item: Item) -> Batch:
        """Return the batch (number, places), augmented anew in each batch where there is a seed."""
        number, places = item
        rows = self.rows.at(places)
        read, unread = [], []
        for p in np.unique(rows.product):
            try:
                read.append((p, self._image(int(p), number)))
            except (OSError, ValueError, SyntaxError) as fault:  # Pillow raises all three
                unread.append((int(p), _reason(fault)))
        products = np.array([p for p, _ in read], dtype=np.int32)
        rows = rows.at(np.flatnonzero(np.isin(rows.product, products)))
        images = torch.stack([image for _, image in read]) if read else torch.empty(0)
        return Batch(
            number, rows, products, np.searchsorted(products, rows.product), images, unread
        )

    def _image(self, p: int, number: int) -> Tensor:
        if self.features is not None:
            return self.features.read(p)
        path = self.images[p].as_py()
        if self.seed is None:
            return read_picture(path, self.transform)
        seed = int(np.random.SeedSequence((self.seed, number, p)).generate_state(1)[0])
        return read_picture(path, self.transform, seed)


def read_picture(path: str | Path, transform: Callable[..., Tensor], *seed: int) -> Tensor:
    """Return a picture file as the transform's tensor (3, S, S).

    Raises:
        OSError, ValueError or SyntaxError: the file is missing or no whole picture.
    """
    from PIL import Image

    with Image.open(path) as image:
        return transform(image, *seed)


def _reason(fault: Exception) -> str:
    text = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return text[:200]


class _Order(Sampler[Item]):
    """A plan as the sampler that DataLoader asks for, never held whole in memory."""

    def __init__(self, plan: BatchPlan, first: int) -> None:
        self.plan = plan
        self.first = first

    def __iter__(self) -> Iterator[Item]:
        return self.plan.order(self.first)

    def __len__(self) -> int:
        return self.plan.batches - self.first


def loader(reader: BatchReader, plan: BatchPlan, first: int, workers: int) -> DataLoader[Batch]:
    """Return the batches from number `first` on, read by worker processes in the plan's order."""
    return DataLoader(reader, batch_size=None, sampler=_Order(plan, first), num_workers=workers)


@dataclass(frozen=True)
class Inputs:
    """A batch on the model's device: B rows that show U distinct products.

    `images` is (U, 3, S, S), or (U, P, W) of a frozen tower. Stage 1 has no queries.
    """

    number: int
    products: Integers  # (B,)
    product_of_row: Tensor  # (B,) into U
    images: Tensor
    title_ids: Tensor  # (U, L)
    title_mask: Tensor
    queries: Integers | None = None  # (B,)
    query_ids: Tensor | None = None  # (B, L)
    query_mask: Tensor | None = None
    positive: Tensor | None = None  # (B,) bool, QMM's target


def inputs_of(
    batch: Batch,
    catalogue: Catalogue,
    tokenize: Callable[[list[str]], dict[str, Tensor]],
    device: torch.device,
) -> Inputs:
    """Return a batch with its texts as tokens, on the device."""
    title = tokenize(catalogue.texts(catalogue.titles, batch.products))
    inputs = Inputs(
        number=batch.number,
        products=batch.rows.product,
        product_of_row=torch.from_numpy(batch.product_of_row).to(device),
        images=batch.images.to(device),
        title_ids=title["input_ids"].to(device),
        title_mask=title["attention_mask"].to(device),
    )
    if (batch.rows.query < 0).any():
        return inputs
    query = tokenize(catalogue.texts(catalogue.queries, batch.rows.query))
    return replace(
        inputs,
        queries=batch.rows.query,
        query_ids=query["input_ids"].to(device),
        query_mask=query["attention_mask"].to(device),
        positive=torch.from_numpy(batch.rows.positive).to(device),
    )
