"""Pictures of the catalogue: found, downloaded and read, each file once while it is unchanged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.console import complain, track
from genfilt.common.photos import picture_fault
from genfilt.ingest.picture_files import Fetched, PictureFolders, files_of_addresses, picture_path
from genfilt.store.failures import Failure
from genfilt.store.keys import file_key

HASHING_THREADS = 8  # reading waits for the disk, and hashing lets go of the interpreter
ROWS_AT_A_TIME = 1 << 15  # whose pictures are looked up in the table of files together
ITEMS_IN_FLIGHT = 1 << 10  # submitted to the threads together
EARLY_PICTURES = 1000  # after which a share of missing pictures over a half is remarked on
# A file that was just written may be written again within one tick of the clock that dates it.
SETTLED_NS = 2_000_000_000

A = TypeVar("A")
B = TypeVar("B")

FILE_SCHEMA = pa.schema(
    {"path": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "image_key": pa.string()}
)

# Takes path, size, mtime_ns of files; returns (N,) the key of each that was read before.
KnownKeys = Callable[[pa.Table], Sequence[str | None]]


@dataclass(frozen=True)
class Found:
    """Path and key of each product's picture (N,), and why some have none, by id."""

    paths: pa.ChunkedArray  # as it was named, where nothing was found
    keys: pa.ChunkedArray
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    files: pa.Table = field(default_factory=FILE_SCHEMA.empty_table)  # those that were read now


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    mtime_ns: int


def find_pictures(
    ids: pa.ChunkedArray,
    images: pa.ChunkedArray,
    places: PictureFolders,
    known_keys: KnownKeys | None = None,
) -> Found:
    """Find each product's picture and its key, downloading what is to be fetched.

    Args:
        ids: (N,) of the products.
        images: (N,) paths or addresses, NULL for a product without a picture.
        places: where the pictures lie.
        known_keys: returns the keys of files that were read before; None to read all.
    """
    named = len(images) - images.null_count
    if not named:
        return Found(images, pa.chunked_array([pa.nulls(len(images), pa.string())]))
    fetched: Fetched = files_of_addresses(images, places.root) if places.is_named else {}
    if places.fetch:
        fetched = {**_fetch(images, places, fetched), **fetched}
    parts: list[Found] = []
    failures: list[tuple[str, Failure]] = []
    remarks = _Remarks(named)
    with ThreadPoolExecutor(HASHING_THREADS) as pool, track("pictures", named) as advance:
        search = _Search(pool, partial(_stat, places=places, fetched=fetched), known_keys)
        for start, length in _parts(len(images)):
            part = images.slice(start, length).to_pylist()
            found = search.part(ids.slice(start, length), part, advance)
            failures.extend(found.failures)
            parts.append(found)
            remarks.count(len(part) - part.count(None), failures)
    remarks.finish(failures)
    if search.broken:
        complain(
            f"WARNING: {len(search.broken):,} picture files look broken, and genfilt extract will "
            f"not describe them; the first is {search.broken[0]}."
        )
    return Found(
        pa.chunked_array([chunk for part in parts for chunk in part.paths.chunks], pa.string()),
        pa.chunked_array([chunk for part in parts for chunk in part.keys.chunks], pa.string()),
        failures,
        pa.concat_tables([part.files for part in parts]),
    )


@dataclass(frozen=True)
class _Search:
    pool: ThreadPoolExecutor
    stat: Callable[[str | None], _File | Failure | None]
    known_keys: KnownKeys | None
    broken: list[str] = field(default_factory=list)  # files that look broken, and how

    def part(
        self, ids: pa.ChunkedArray, images: list[str | None], advance: Callable[[int], None]
    ) -> Found:
        """Find the pictures of some rows; ids (N,) and images (N,)."""
        files = list(_each(self.pool, self.stat, images))
        located = [file for file in files if isinstance(file, _File)]
        distinct = list(dict.fromkeys(located))
        seen = pa.table(
            {
                "path": [str(file.path) for file in distinct],
                "size": pa.array([file.size for file in distinct], pa.int64()),
                "mtime_ns": pa.array([file.mtime_ns for file in distinct], pa.int64()),
            }
        )
        known = self.known_keys(seen) if self.known_keys and distinct else [None] * len(distinct)
        keys: dict[_File, str | Failure] = {
            file: key for file, key in zip(distinct, known, strict=True) if key is not None
        }
        unread = [file for file in distinct if file not in keys]
        advance(len(images) - images.count(None) - len(unread))
        keys.update(zip(unread, _each(self.pool, _key, unread, advance), strict=True))
        self.broken.extend(
            f"{file.path} {fault}"
            for file, fault in zip(unread, _each(self.pool, _fault, unread), strict=True)
            if fault
        )
        return _results(ids, images, files, keys, unread)


def _parts(total: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of parts of the rows; the first is short, for an early remark."""
    yield 0, EARLY_PICTURES
    for start in range(EARLY_PICTURES, total, ROWS_AT_A_TIME):
        yield start, ROWS_AT_A_TIME


def _each(
    pool: ThreadPoolExecutor,
    function: Callable[[A], B],
    items: Sequence[A],
    advance: Callable[[int], None] | None = None,
) -> Iterator[B]:
    """Yield a function of each item from threads, with a bounded number in flight."""
    for start in range(0, len(items), ITEMS_IN_FLIGHT):
        part = items[start : start + ITEMS_IN_FLIGHT]
        yield from pool.map(function, part)
        if advance is not None:
            advance(len(part))


def _stat(image: str | None, places: PictureFolders, fetched: Fetched) -> _File | Failure | None:
    path = picture_path(image, places, fetched)
    if not isinstance(path, Path):
        return path
    try:
        found = path.stat()
    except OSError as error:
        return Failure("unreadable picture", f"{path}: {error}")
    return _File(path, found.st_size, found.st_mtime_ns)


def _key(file: _File) -> str | Failure:
    try:
        return file_key(file.path)
    except OSError as error:
        return Failure("unreadable picture", f"{file.path}: {error}")


def _fault(file: _File) -> str | None:
    return picture_fault(file.path)


def _results(
    ids: pa.ChunkedArray,
    images: Sequence[str | None],
    files: Sequence[_File | Failure | None],
    keys: Mapping[_File, str | Failure],
    read: Sequence[_File],
) -> Found:
    """Return the pictures of some rows; ids, images and files (N,)."""
    results = [keys[file] if isinstance(file, _File) else file for file in files]
    paths = [
        str(file.path) if isinstance(file, _File) and isinstance(result, str) else image
        for image, file, result in zip(images, files, results, strict=True)
    ]
    failures = [
        (str(ids[row].as_py()), result)
        for row, result in enumerate(results)
        if isinstance(result, Failure)
    ]
    settled = time.time_ns() - SETTLED_NS
    kept = [f for f in read if isinstance(keys[f], str) and f.mtime_ns < settled]
    remembered = [(str(f.path), f.size, f.mtime_ns, keys[f]) for f in kept]
    columns = list(zip(*remembered, strict=True)) or [()] * len(FILE_SCHEMA)
    return Found(
        pa.chunked_array([pa.array(paths, pa.string())]),
        pa.chunked_array([pa.array([_text(r) for r in results], pa.string())]),
        failures,
        pa.table(
            [pa.array(list(c), t) for c, t in zip(columns, FILE_SCHEMA.types, strict=True)],
            schema=FILE_SCHEMA,
        ),
    )


def _text(result: str | Failure | None) -> str | None:
    return result if isinstance(result, str) else None


class _Remarks:
    """Remarks on pictures that were not found, early and at the end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.early = False

    def count(self, done: int, failures: Sequence[tuple[str, Failure]]) -> None:
        """Count pictures as looked for; remark once if most of the first ones are missing."""
        self.done += done
        if not self.early and EARLY_PICTURES <= self.done < self.total:
            self.early = True
            self.finish(failures)

    def finish(self, failures: Sequence[tuple[str, Failure]]) -> None:
        """Remark if most pictures are missing."""
        if 2 * len(failures) > self.done:
            product_id, failure = failures[0]
            complain(
                f"WARNING: {len(failures):,} of {self.done:,} pictures were not found; the first "
                f"is product {product_id}: {failure.reason} ({failure.detail}). Check --images "
                f"and the image column."
            )


def _fetch(images: pa.ChunkedArray, places: PictureFolders, there: Fetched) -> Fetched:
    from genfilt.ingest.download import download

    assert places.downloaded is not None
    named = pc.unique(images).drop_null()
    addresses = named.filter(pc.match_substring_regex(named, r"^(?i)https?://"))
    with track("download", len(addresses)) as advance:
        urls = (url for address in addresses if (url := str(address)) not in there)
        return dict(_counted(download(urls, places.downloaded), advance))


def _counted(
    results: Iterable[tuple[str, Path | Failure]], advance: Callable[[int], None]
) -> Iterator[tuple[str, Path | Failure]]:
    for result in results:
        yield result
        advance(1)
