"""Product vectors computed by the workers of an engine, in the order of the catalogue."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from genfilt.common.console import track
from genfilt.common.errors import UserError
from genfilt.engines.protocol import Engine, Lost, Work
from trainer.serving.relevance_model import BATCH, RelevanceModel
from trainer.serving.vectors import (
    EncodedProducts,
    PictureReader,
    Product,
    count_products,
    open_catalogue,
    read_products,
)
from trainer.training.checkpoint import WEIGHTS


@dataclass(frozen=True)
class ModelOpener:
    """Opens an exported model in a worker.

    Attributes:
        folder: the model's, at the same path on every node.
        digest: of the weights that the driver sees there.
    """

    folder: Path
    digest: str

    @contextmanager
    def __call__(self) -> Iterator[Work[list[Product], EncodedProducts]]:
        """Load the model.

        Raises:
            UserError: the worker sees no such model at the path, or another one.
        """
        if weights_digest(self.folder) != self.digest:
            raise UserError(
                f"The worker on {platform.node()} does not see the driver's model at "
                f"{self.folder}; give --to a folder that every node mounts at the same path."
            )
        model = RelevanceModel.from_pretrained(self.folder)
        reader = PictureReader(model.model.image_transform)

        def work(
            batches: Mapping[str, list[Product]],
        ) -> Iterator[tuple[str, EncodedProducts]]:
            for key, products in batches.items():
                pictures = reader[products]
                vectors = model.encode_pixels([p.title for p in products], pictures.pixels)
                yield key, EncodedProducts(products, vectors, pictures.unread)

        yield work


def weights_digest(folder: Path) -> str | None:
    """Return a digest of a model folder's weights; None where it has none."""
    digest = blake2b(digest_size=16)
    try:
        with (folder / WEIGHTS).open("rb") as file:
            while part := file.read(1 << 22):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


def spread_catalogue(engine: Engine, folder: Path, db: Path) -> Iterator[EncodedProducts]:
    """Yield the vectors of all products of a database, in the order of p.

    Args:
        engine: its workers read the pictures and compute.
        folder: of the exported model.
        db: a genfilt database, which the driver alone reads.

    Raises:
        UserError: the database or the model cannot be opened, or no worker can compute.
    """
    place = folder.absolute()
    digest = weights_digest(place)
    if digest is None:
        raise UserError(f"{folder} has no model; run trainer export --to {folder}.")
    with open_catalogue(db) as connection, track("products", count_products(connection)) as advance:
        batches = (
            (str(number), [_absolute(product) for product in products])
            for number, products in enumerate(read_products(connection))
        )
        for encoded in _ordered(engine.map(ModelOpener(place, digest), batches, batch=1)):
            yield encoded
            advance(len(encoded.products))


def _ordered(
    results: Iterator[tuple[str, EncodedProducts | Lost]],
) -> Iterator[EncodedProducts]:
    """Yield results by their numbers; an engine's batches in flight bound what waits."""
    waiting: dict[int, EncodedProducts] = {}
    due = 0
    for number, found in results:
        if isinstance(found, Lost):
            raise UserError(
                f"Batch {int(number)} of {BATCH} products, by p, ended each worker that encoded "
                f"it ({found.detail}); look for a picture that is too large."
            )
        waiting[int(number)] = found
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _absolute(product: Product) -> Product:
    if product.image is None:
        return product
    return replace(product, image=str(Path(product.image).absolute()))
