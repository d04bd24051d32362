"""Pictures decoded once: white squares of one size in a mapped file, found by product number.

What is read from a pack equals what is read from the pictures' files. A product that the pack does
not have is read from its file. A packed picture whose file has changed is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genfilt.common.arrays import Bools
from genfilt.common.errors import UserError
from genfilt.common.photos import open_photo
from trainer.database.column_files import ColumnFiles

if TYPE_CHECKING:
    import pyarrow as pa

Pixels = NDArray[np.uint8]
LOOKING_THREADS = 16  # file systems answer several at once
LOOKED_AT_ONCE = 1 << 14  # files


class PicturePack:
    """Squares (S, S, 3) of products, in one file.

    Args:
        folder: of the pack.
        side: S.
        images: every product's path, by number; a packed picture of another path is left out.
    """

    def __init__(self, folder: Path, side: int, images: pa.ChunkedArray) -> None:
        files = ColumnFiles(folder)
        self.folder, self.side = folder, side
        self.products = files.numbers("product")
        self._squares = files.bytes("squares").reshape(-1, side, side, 3)
        self._size, self._mtime = files.counts("size"), files.counts("mtime")
        self._paths = files.texts("picture.path")
        self.usable = self._same_paths(images)

    def _same_paths(self, images: pa.ChunkedArray) -> Bools:
        import pyarrow.compute as pc

        known = np.minimum(self.products, max(len(images) - 1, 0))
        if not len(images):
            return np.zeros(len(self.products), dtype=np.bool_)
        same = pc.fill_null(pc.equal(images.take(known), self._paths), False)
        usable: Bools = np.asarray(same.to_numpy(), dtype=np.bool_) & (known == self.products)
        return usable

    def check(self) -> None:
        """Compare each packed picture with its file.

        Raises:
            UserError: a file was changed or removed since.
        """
        usable = np.flatnonzero(self.usable)
        with ThreadPoolExecutor(LOOKING_THREADS) as pool:
            for start in range(0, len(usable), LOOKED_AT_ONCE):
                places = usable[start : start + LOOKED_AT_ONCE]
                paths = self._paths.take(places).to_pylist()
                for place, path, found in zip(places, paths, pool.map(mark_of, paths), strict=True):
                    if found != (self._size[place], self._mtime[place]):
                        raise UserError(
                            f"The picture {path} was changed after {self.folder} was made of it; "
                            "run trainer pack again, or remove that folder."
                        )

    def find(self, p: int) -> Pixels | None:
        """Return the square (S, S, 3) of product p; None where there is none."""
        place = int(np.searchsorted(self.products, p))
        if place == len(self.products) or self.products[place] != p or not self.usable[place]:
            return None
        square: Pixels = self._squares[place]
        return square


def mark_of(path: str) -> tuple[int, int]:
    """Return size and time of change (ns) of a file; (-1, -1) where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


class PictureSource:
    """Pictures of products as a transform's tensors, from a pack where it has them.

    Args:
        images: every product's path, by number.
        transform: called with an opened picture, and with a seed where one is given.
        pack: of the transform's size.
    """

    def __init__(
        self,
        images: pa.ChunkedArray,
        transform: Callable[..., Tensor],
        pack: PicturePack | None = None,
    ) -> None:
        self.images, self.transform, self.pack = images, transform, pack

    def read(self, p: int, *seed: int) -> Tensor:
        """Return the picture of product p, which has one.

        Raises:
            ValueError: the file is missing, is not a whole picture, or has too many pixels.
        """
        square = self.pack.find(p) if self.pack is not None else None
        if square is not None:
            from PIL import Image

            return self.transform(Image.fromarray(square), *seed)
        return read_picture(self.images[p].as_py(), self.transform, *seed)


def read_picture(path: str | Path, transform: Callable[..., Tensor], *seed: int) -> Tensor:
    """Return a picture file as the transform's tensor (3, S, S).

    Raises:
        ValueError: the file is missing, is not a whole picture, or has too many pixels.
    """
    try:
        picture = open_photo(Path(path))
    except Exception as error:  # Pillow's readers raise whatever a broken file leads to
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(text) from error
    return transform(picture, *seed)
