"""Step 3: sentence embeddings of distinct texts, each computed once and kept in the database.

Nothing here is held for each text but a row of a temporary table, which DuckDB moves to disk. Many
vectors are laid out in a file beside the database, named by its content and made again when it is
gone; the database stays what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from genfilt.common.arrays import Rows, Vectors
from genfilt.common.atomic import remove_unfinished, write_text
from genfilt.common.console import track
from genfilt.common.duckdb_file import MEMORY
from genfilt.features.embedder import DEFAULT_EMBEDDER, Embedder, KeptVectors, Matrix, reopened
from genfilt.features.vector_file import VectorFile, VectorSource, new_vectors
from genfilt.store.keys import text_key
from genfilt.store.store import Store

__all__ = [
    "DEFAULT_EMBEDDER",
    "Embedder",
    "KeptVectors",
    "Matrix",
    "embed",
    "embed_relation",
    "filter_embedder",
]

TEXTS_PER_WRITE = 8192
TEXTS_PER_READ = 65_536
MIN_FILE_TEXTS = 1 << 15  # 50 MB of MiniLM vectors; fewer are read into memory
SAMPLED_ROWS = 16

WANTED = """
CREATE OR REPLACE TEMP TABLE wanted_texts AS
SELECT row_number() OVER (ORDER BY number) - 1 AS place, content_key(text) AS text_key, text
FROM ({relation})
"""
# Texts of equal length side by side waste no padding.
MISSING = """
CREATE OR REPLACE TEMP TABLE missing AS
SELECT row_number() OVER (ORDER BY length(text), text) - 1 AS place, text_key, text
FROM (SELECT text_key, min(text) AS text FROM wanted_texts
      ANTI JOIN (FROM vectors WHERE embedder = ?) USING (text_key) GROUP BY text_key)
"""
CONTENT = """
SELECT count(*), bit_xor(hash(place, text_key)), bit_xor(hash(text_key, place, 'second'))
FROM wanted_texts
"""
# Of some vectors: an older database, from a backup say, may have computed others.
SAMPLE = """
SELECT bit_xor(hash(place, vector)) FROM (FROM wanted_texts WHERE place % ? = 0)
JOIN (FROM vectors WHERE embedder = ?) USING (text_key)
"""


def embed(store: Store, embedder: Embedder, texts: Sequence[str]) -> Matrix:
    """Return the unit vectors of `texts`, (len(texts), D) float32, computing those not yet kept."""
    given = {
        "number": pa.array(range(len(texts)), pa.int64()),
        "text": pa.array(texts, pa.string()),
    }
    with store.registered("given_texts", pa.table(given)):
        count, width = _embed_wanted(store, embedder, "FROM given_texts")
        return _read(store, embedder, count, width)


def embed_relation(store: Store, embedder: Embedder, relation: str, name: str) -> VectorSource:
    """Return the unit vectors of a relation's texts, (N, D), in the order of `number`.

    Args:
        store: keeps every vector, by embedder and text.
        embedder: computes those that are not kept yet.
        relation: a SELECT of the columns number and text.
        name: of what is embedded, in the name of the file.
    """
    count, width = _embed_wanted(store, embedder, relation)
    if count < MIN_FILE_TEXTS or store.path == MEMORY:
        return _read(store, embedder, count, width)
    return _laid_out(store, embedder, name, count, width)


def filter_embedder(store: Store, model: str | None = None) -> Embedder:
    """Return the embedder of a model; of none, the current filter's, or else all-MiniLM-L6-v2."""
    if model is None and (named := store.rows("SELECT embedder FROM filters WHERE current")):
        return reopened(str(named[0][0]))
    return Embedder(model)


def _embed_wanted(store: Store, embedder: Embedder, relation: str) -> tuple[int, int]:
    """Fill the table `wanted_texts`, embed what is missing, and return the shape of the vectors."""
    _define_key(store)
    store.connection.execute(WANTED.format(relation=relation))
    _compute_missing(store, embedder)
    count = int(store.scalar("SELECT count(*) FROM wanted_texts"))
    width = store.scalar(
        "SELECT len(vector) FROM vectors WHERE embedder = ? LIMIT 1", [embedder.name]
    )
    return count, int(width or 0)


def _compute_missing(store: Store, embedder: Embedder) -> None:
    """Embed the texts of the temporary table `wanted_texts` whose vectors are not kept."""
    store.connection.execute(MISSING, [embedder.name])
    count = int(store.scalar("SELECT count(*) FROM missing"))
    starts = range(0, count, TEXTS_PER_WRITE)
    with track(f"embed ({embedder.name})", count) as advance:
        batches = (_missing(store, start, "text") for start in starts)
        for number, vectors in embedder.encode_batches(batches):
            keys = _missing(store, starts[number], "text_key")
            flat = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1])
            names = pa.array([embedder.name] * len(keys))
            rows = {"embedder": names, "text_key": keys, "vector": flat}
            with store.transaction():
                store.insert("vectors", pa.table(rows))
            advance(len(keys))
    store.connection.execute("DROP TABLE missing")


def _missing(store: Store, start: int, column: str) -> list[str]:
    """Return a column of TEXTS_PER_WRITE rows of the table `missing`."""
    rows = store.arrow(
        f"SELECT {column} FROM missing WHERE place >= ? AND place < ? ORDER BY place",
        [start, start + TEXTS_PER_WRITE],
    )
    return list(rows[column].to_pylist())


def _define_key(store: Store) -> None:
    """Let SQL compute the key of a text."""

    def keys(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array([text_key(text) for text in texts.to_pylist()])

    with suppress(duckdb.CatalogException, duckdb.NotImplementedException):  # defined already
        kinds: tuple[list[str], str] = (["VARCHAR"], "VARCHAR")
        define: Callable[..., object] = store.connection.create_function
        define("content_key", keys, *kinds, type="arrow")


def _read(store: Store, embedder: Embedder, count: int, width: int) -> Vectors:
    """Return the vectors of the table `wanted_texts` in memory, (count, width)."""
    vectors = np.empty((count, width), np.float32)
    for rows, part in _batches(store, embedder):
        vectors[rows] = part
    return vectors


def _laid_out(store: Store, embedder: Embedder, name: str, count: int, width: int) -> VectorFile:
    """Return the file of the vectors of the wanted texts; that of other content goes."""
    content = text_key(" ".join(map(str, (embedder.name, *store.rows(CONTENT)[0]))))
    folder = Path(f"{store.path}.vectors")
    path = folder / f"{name}-{content}.npy"
    stamp = folder / f"{name}.stamp"  # a file, since a database that is only read has them too
    sample = store.scalar(SAMPLE, [max(1, count // SAMPLED_ROWS), embedder.name])
    if stamp.exists() and stamp.read_text("utf-8") == _state(path, sample):
        return VectorFile.open(path)
    for old in folder.glob(f"{name}-*.npy"):
        old.unlink()
    remove_unfinished(folder, f".{name}-*.npy.*.part")  # gigabytes, where a run was killed
    with new_vectors(path, count, width) as writer:
        for rows, part in _batches(store, embedder):
            writer.put(rows, part)
    write_text(stamp, _state(path, sample), "--db")
    return VectorFile.open(path)


def _state(path: Path, sample: int) -> str:
    """Return a file's name, size and time with a hash of the database's vectors; "" without it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{path.name} {found.st_size} {found.st_mtime_ns} {sample}"


def _batches(store: Store, embedder: Embedder) -> Iterator[tuple[Rows, Vectors]]:
    """Yield rows of the table `wanted_texts` and their vectors, in no particular order."""
    batches = store.connection.sql(
        "SELECT place, vector FROM wanted_texts "
        "JOIN (FROM vectors WHERE embedder = ?) USING (text_key)",
        params=[embedder.name],
    ).to_arrow_reader(TEXTS_PER_READ)
    for batch in batches:
        vectors = np.asarray(batch.column(1).flatten(), np.float32)
        yield batch.column(0).to_numpy(), vectors.reshape(batch.num_rows, -1)
