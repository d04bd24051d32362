"""Making a pack of a database's pictures, and finding the one that was made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from genfilt.common.arrays import Integers
from genfilt.common.atomic import replaced_folder
from genfilt.common.console import say, track
from genfilt.common.errors import UserError
from genfilt.common.photos import open_photo
from trainer.batches.picture_pack import PicturePack, Pixels, mark_of
from trainer.database.catalogue import load_catalogue
from trainer.database.column_files import ColumnFiles
from trainer.database.reading import open_database
from trainer.process_group import on_main

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

PACKED_AT_ONCE = 64  # pictures that a worker reads together
FREE_SHARE = 1.05  # of the pack's size that the disk must have


@dataclass(frozen=True)
class PackResult:
    """A pack as it was made."""

    folder: str
    pictures: int
    unreadable: int
    megabytes: float


@dataclass(frozen=True)
class _Squares:
    """Some products' squares (N, S, S, 3), with size and time of change of their files (N, 2)."""

    products: Integers
    squares: Pixels
    marks: NDArray[np.int64]
    seen: int


class _SquareReader(Dataset[_Squares]):
    """Decodes the pictures of some products; runs in worker processes."""

    def __init__(
        self, images: pa.ChunkedArray, square: Callable[[Image], Image], side: int
    ) -> None:
        self.images, self.square, self.side = images, square, side

    def __getitem__(self, products: Integers) -> _Squares:
        paths = self.images.take(products).to_pylist()
        read: list[tuple[int, Pixels, tuple[int, int]]] = []
        for p, path in zip(products.tolist(), paths, strict=True):
            mark = mark_of(path)  # before it is read: a change meanwhile is a change
            try:
                square = np.asarray(self.square(open_photo(Path(path))))
            except Exception:  # Pillow's readers raise whatever a broken file leads to
                continue
            read.append((p, square, mark))
        shape = (len(read), self.side, self.side, 3)
        return _Squares(
            np.array([p for p, _, _ in read], dtype=np.int32),
            np.stack([square for _, square, _ in read]) if read else np.empty(shape, np.uint8),
            np.array([mark for _, _, mark in read], dtype=np.int64).reshape(-1, 2),
            len(products),
        )


def pack_folder(db: Path, side: int) -> Path:
    """Return where a database's pack of squares of a side lies."""
    return db.parent / "packed" / f"{db.stem}-{side}"


def pack_pictures(
    db: Path, square: Callable[[Image], Image], side: int, workers: int
) -> PackResult:
    """Write the squares of all pictures that can be read.

    Args:
        db: the database, beside which the pack goes.
        square: turns an opened picture into one of side x side pixels; can be pickled.
        side: in pixels.
        workers: processes that decode.

    Raises:
        UserError: the database cannot be read or has no picture, the folder cannot be written, or
            the disk is too small.
    """
    with open_database(db) as connection:
        images = load_catalogue(connection).images
    products = np.flatnonzero(np.asarray(images.is_valid())).astype(np.int32)
    if not len(products):
        raise UserError(f"{db} has no picture file; run genfilt ingest with --images.")
    folder = pack_folder(db, side)
    _check_room(folder, 3 * side * side * len(products))
    reader = _SquareReader(images, square, side)
    starts = range(0, len(products), PACKED_AT_ONCE)
    parts = [products[start : start + PACKED_AT_ONCE] for start in starts]
    made = DataLoader(reader, batch_size=None, sampler=parts, num_workers=workers)
    with replaced_folder(folder, "--db") as part, ColumnFiles(part) as files:
        written = _write(files, images, iter(made), len(products))
    size = 3 * side * side * written / 1e6
    return PackResult(str(folder), written, len(products) - written, round(size, 1))


def _write(
    files: ColumnFiles, images: pa.ChunkedArray, made: Iterator[_Squares], total: int
) -> int:
    written = end = 0
    files.begin_texts("picture.path")
    with track("pictures", total) as advance:
        for batch in made:
            files.append("product", batch.products)
            files.append("squares", batch.squares)
            files.append("size", batch.marks[:, 0])
            files.append("mtime", batch.marks[:, 1])
            paths = images.take(batch.products).combine_chunks()
            end = files.append_texts("picture.path", paths, end)
            written += len(batch.products)
            advance(batch.seen)
    return written


def _check_room(folder: Path, size: int) -> None:
    place = folder.parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < FREE_SHARE * size:
        raise UserError(
            f"The pack takes {size / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB left; free "
            "some, or train from the pictures' files."
        )


def open_pack(db: Path, side: int, images: pa.ChunkedArray) -> PicturePack | None:
    """Return the pack of a database's pictures for a side; None where none was made.

    Args:
        db: the database.
        side: of the squares that a transform makes.
        images: every product's path, by number.

    Raises:
        UserError: a packed picture's file has changed since.
    """
    folder = pack_folder(db, side)
    if not on_main(folder.is_dir):
        return None
    pack = PicturePack(folder, side, images)

    def check() -> None:
        pack.check()
        say(f"{pack.usable.sum()} pictures are read from {folder}.")

    on_main(check)
    return pack
