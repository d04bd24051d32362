"""The order of a stage's rows and the pictures behind them, read in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genfilt.common.arrays import Integers
from trainer.batches.feature_cache import FeatureCache
from trainer.batches.picture_pack import PicturePack, PictureSource
from trainer.database.catalogue import Rows

if TYPE_CHECKING:
    import pyarrow as pa

Item = tuple[int, NDArray[np.int64]]  # batch number, places of its rows
MAX_REASON = 200  # characters kept of why a picture could not be read


@dataclass(frozen=True)
class BatchPlan:
    """The order of rows: each epoch a new permutation cut into equal batches.

    It depends on (seed, epoch) alone, and each process takes its part of the same batch, so runs on
    one and on several processes, resumed or not, see the same batches.
    """

    rows: int
    batch_size: int
    epochs: int
    seed: int
    rank: int = 0
    processes: int = 1
    groups: Integers | None = field(default=None, compare=False)
    """(rows,) the query of each row; a query's rows then stand together in an epoch's order."""

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
            shuffled = self._shuffled(np.random.default_rng((self.seed, epoch)))
            parts = np.array_split(shuffled, self.batches_an_epoch)
            for number in range(within, self.batches_an_epoch):
                mine = np.array_split(parts[number], self.processes)[self.rank]
                yield epoch * self.batches_an_epoch + number, mine
            within = 0

    def _shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        shuffled = rng.permutation(self.rows)
        if self.groups is None:
            return shuffled
        distinct, group = np.unique(self.groups[shuffled], return_inverse=True)
        return shuffled[np.argsort(rng.permutation(len(distinct))[group], kind="stable")]


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
        pack: PicturePack | None = None,
    ) -> None:
        self.rows = rows
        self.pictures = PictureSource(images, transform, pack)
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
            except ValueError as error:
                unread.append((int(p), str(error)[:MAX_REASON]))
        products = np.array([p for p, _ in read], dtype=np.int32)
        rows = rows.at(np.flatnonzero(np.isin(rows.product, products)))
        images = torch.stack([image for _, image in read]) if read else torch.empty(0)
        return Batch(
            number, rows, products, np.searchsorted(products, rows.product), images, unread
        )

    def _image(self, p: int, number: int) -> Tensor:
        if self.features is not None:
            return self.features.read(p)
        if self.seed is None:
            return self.pictures.read(p)
        seed = int(np.random.SeedSequence((self.seed, number, p)).generate_state(1)[0])
        return self.pictures.read(p, seed)


class _Order(Sampler[Item]):
    """A plan as the sampler of a DataLoader, generated as it is read."""

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


def in_order(reader: BatchReader, rows: slice, size: int, workers: int) -> DataLoader[Batch]:
    """Return rows in batches of `size` in their order, read by worker processes."""
    starts = range(rows.start, rows.stop, size)
    items = [
        (number, np.arange(start, min(start + size, rows.stop)))
        for number, start in enumerate(starts)
    ]
    return DataLoader(reader, batch_size=None, sampler=items, num_workers=workers)
