"""Product vectors of a whole catalogue, computed in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genfilt.common.arrays import Vectors
from genfilt.common.atomic import replaced
from genfilt.common.console import track
from genfilt.common.errors import UserError
from trainer.database.reading import open_database
from trainer.distributed import processes
from trainer.process_group import is_main, joined_dicts, my_part, on_main
from trainer.serving.relevance_model import BATCH, RelevanceModel, picture_reader

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 4096  # read from the database, and written to the file, at once
SORTING_MEMORY = "1GB"  # for DuckDB, which sorts on disk what does not fit
# By number, so that listings of equal content are neighbours and are computed once.
LISTINGS = """
SELECT p, title, CASE WHEN image_key IS NOT NULL THEN image END AS image, product_id
FROM products JOIN product_no USING (product_id) WHERE p >= {first} AND p < {end}
ORDER BY p, product_id
"""

EVERYTHING = range(1 << 31)  # all numbers p


@dataclass(frozen=True)
class Product:
    """A distinct content of the catalogue: number p, and the ids that list it."""

    p: int
    title: str
    image: str | None
    product_ids: tuple[str, ...]


@dataclass(frozen=True)
class EncodedProducts:
    """Some products and their unit vectors M (N, D), with white for unreadable pictures."""

    products: list[Product]
    vectors: Vectors
    unread: list[str]  # product ids


def read_products(
    connection: duckdb.DuckDBPyConnection, numbers: range = EVERYTHING
) -> Iterator[list[Product]]:
    """Yield the distinct products of some numbers in the order of p, BATCH at a time."""
    made: list[Product] = []
    for p, same in groupby(_listings(connection, numbers), itemgetter(0)):
        listings = list(same)
        _, title, image, _ = listings[0]
        made.append(Product(p, title, image, tuple(row[3] for row in listings)))
        if len(made) == BATCH:
            yield made
            made = []
    if made:
        yield made


def _listings(
    connection: duckdb.DuckDBPyConnection, numbers: range
) -> Iterator[tuple[int, str, str | None, str]]:
    cursor = connection.execute(LISTINGS.format(first=numbers.start, end=numbers.stop))
    while rows := cursor.fetchmany(ROWS):
        yield from rows


@contextmanager
def open_catalogue(db: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database to read its products.

    Raises:
        UserError: the database cannot be opened, or has no product.
    """
    with open_database(db) as connection:
        connection.execute(f"SET memory_limit = '{SORTING_MEMORY}'")
        if not count_products(connection):
            raise UserError(f"{db} has no products; run genfilt ingest --products.")
        yield connection


def count_products(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many distinct products there are."""
    ((total,),) = connection.sql("SELECT count(DISTINCT p) FROM product_no").fetchall()
    return int(total)


def my_numbers(connection: duckdb.DuckDBPyConnection) -> range:
    """Return the numbers p of which this process computes the vectors: all, where it is alone."""
    if processes()[1] == 1:
        return EVERYTHING
    mine = my_part(count_products(connection), BATCH)
    first, end = (_number_at(connection, place) for place in (mine.start, mine.stop))
    return range(first, end)


def _number_at(connection: duckdb.DuckDBPyConnection, place: int) -> int:
    found = connection.sql(
        f"SELECT DISTINCT p FROM product_no ORDER BY p LIMIT 1 OFFSET {place}"
    ).fetchall()
    return int(found[0][0]) if found else EVERYTHING.stop


def encode_catalogue(
    model: RelevanceModel, db: Path, workers: int = 1
) -> Iterator[EncodedProducts]:
    """Yield the vectors of this process's products, in the order of p, as they are computed.

    Args:
        model: what computes them.
        db: a genfilt database.
        workers: processes that read pictures; no more than a few batches are in memory at once.

    Raises:
        UserError: the database cannot be opened, or has no product.
    """
    with open_catalogue(db) as connection:
        batches: DataLoader[Pictures] = DataLoader(
            PictureReader(model.model.image_transform),
            batch_size=None,
            sampler=_Stream(read_products(connection, my_numbers(connection))),
            num_workers=workers,
        )
        mine = my_part(count_products(connection), BATCH)
        with track("products", mine.stop - mine.start, show=is_main()) as advance:
            for batch in batches:
                titles = [product.title for product in batch.products]
                vectors = model.encode_pixels(titles, batch.pixels)
                yield EncodedProducts(batch.products, vectors, batch.unread)
                advance(len(titles))


def write_vectors(model: RelevanceModel, db: Path, path: Path, workers: int = 1) -> list[str]:
    """Write product_id and vector of every product, each process computing its part.

    Args:
        model: what computes them.
        db: a genfilt database.
        path: the file, which the first process joins of the parts.
        workers: processes that read pictures, for each process that computes.

    Returns:
        The ids whose pictures could not be read, as `write_encoded`.

    Raises:
        UserError: the database cannot be read, or a file not written.
    """
    rank, count = processes()
    parts = [path.with_name(f".{path.name}.{place}-of-{count}") for place in range(count)]
    if count == 1:
        return write_encoded(encode_catalogue(model, db, workers), model.width, path)
    try:
        unread = write_encoded(encode_catalogue(model, db, workers), model.width, parts[rank])
        found = joined_dicts(dict.fromkeys(unread))
        on_main(lambda: _join_files(parts, model.width, path))
        return list(found)
    finally:
        parts[rank].unlink(missing_ok=True)


def _schema(width: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"product_id": pa.string(), "vector": pa.list_(pa.float32(), width)})


def _join_files(parts: list[Path], width: int, path: Path) -> None:
    import pyarrow.parquet as pq

    schema = _schema(width)
    with replaced(path, "--products") as whole, pq.ParquetWriter(whole, schema) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(ROWS):
                    writer.write_batch(batch)


def write_encoded(stream: Iterator[EncodedProducts], width: int, path: Path) -> list[str]:
    """Write product_id and vector (float32, D) of products as Parquet, whole or not at all.

    Args:
        stream: the products and their vectors.
        width: D.
        path: the file.

    Returns:
        The ids whose pictures could not be read: their vectors are those of a white picture.

    Raises:
        UserError: the database cannot be read, or the file not written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(width)
    unread: list[str] = []
    with replaced(path, "--products") as part, pq.ParquetWriter(part, schema) as writer:
        waiting: list[pa.RecordBatch] = []
        for encoded in stream:
            waiting.append(_rows(encoded, schema))
            unread += encoded.unread
            if sum(map(len, waiting)) >= ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    return unread


def _rows(encoded: EncodedProducts, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    listed = [len(product.product_ids) for product in encoded.products]
    vectors = np.repeat(encoded.vectors, listed, axis=0)
    ids = [name for product in encoded.products for name in product.product_ids]
    flat = pa.array(vectors.ravel(), pa.float32())
    values = pa.FixedSizeListArray.from_arrays(flat, encoded.vectors.shape[1])
    return pa.record_batch([pa.array(ids, pa.string()), values], schema=schema)


@dataclass(frozen=True)
class Pictures:
    """Some products' pictures, and the ids of those that could not be read: white ones."""

    products: list[Product]
    pixels: Tensor  # (N, 3, S, S)
    unread: list[str]


class PictureReader(Dataset[Pictures]):
    """Reads the pictures of some products; runs in worker processes."""

    def __init__(self, transform: Callable[..., Tensor]) -> None:
        self.transform = transform

    def __getitem__(self, products: list[Product]) -> Pictures:
        read = picture_reader(self.transform)
        pixels: list[Tensor] = []
        unread: list[str] = []
        for product in products:
            try:
                pixels.append(read(product.image))
            except UserError:
                pixels.append(read(None))
                unread += product.product_ids
        return Pictures(products, torch.stack(pixels), unread)


class _Stream(Sampler[list[Product]]):
    """Batches as a DataLoader's sampler, drawn when a worker is free, so that few are in memory."""

    def __init__(self, batches: Iterator[list[Product]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Product]]:
        return self.batches
