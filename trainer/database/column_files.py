"""Columns of a database's answers as plain files that several processes map, or in memory.

An answer is read and written batch by batch. Numbers lie one after the other; a text column is its
UTF-8 bytes, 64-bit offsets and a bitmap of what is not NULL, as Arrow's large_string holds them.
"""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from genfilt.common.arrays import Bools, Integers, Rows
from genfilt.common.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1 << 16
SECONDS_UNTIL_SEEN = 60.0  # file systems of several hosts show a new file late
Number = TypeVar("Number", bound=np.generic)


class ColumnFiles:
    """Named columns in a folder, or in memory.

    Args:
        folder: where the files are; None for memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._memory: dict[str, BytesIO] = {}
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> ColumnFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add values to the end of a column of numbers."""
        self._file(name).write(np.ascontiguousarray(values).data)

    def append_answer(
        self, prefix: str, connection: duckdb.DuckDBPyConnection, sql: str
    ) -> ColumnFiles:
        """Add an answer's columns, each named `prefix.name`: texts, integers, truth values."""
        reader = answer(connection, sql)
        ends = {field.name: 0 for field in reader.schema if _is_text(field.type)}
        for field in reader.schema:  # so that an empty answer has columns, too
            if field.name in ends:
                self.begin_texts(f"{prefix}.{field.name}")
            else:
                self._file(f"{prefix}.{field.name}")
        for batch in reader:
            for field, column in zip(batch.schema, batch.columns, strict=True):
                name = f"{prefix}.{field.name}"
                if field.name in ends:
                    ends[field.name] = self.append_texts(name, column, ends[field.name])
                else:
                    self.append(name, numbers_of(column))
        self._flush()
        return self

    def begin_texts(self, name: str) -> None:
        """Make an empty column of texts."""
        self.append(f"{name}.starts", np.zeros(1, dtype=np.int64))
        for part in ("bytes", "valid"):
            self._file(f"{name}.{part}")

    def append_texts(self, name: str, column: pa.Array, end: int) -> int:
        """Add texts to the end of a column that has `end` bytes; return how many it has then."""
        import pyarrow as pa

        texts = column.cast(pa.large_string())
        _, offsets, content = texts.buffers()
        window = slice(texts.offset, texts.offset + len(texts) + 1)
        starts = np.frombuffer(offsets, dtype=np.int64)[window]
        if content is not None:
            self._file(f"{name}.bytes").write(memoryview(content)[starts[0] : starts[-1]])
        self.append(f"{name}.starts", starts[1:] - starts[0] + end)
        self.append(f"{name}.valid", np.asarray(texts.is_valid()))
        return int(end + starts[-1] - starts[0])

    def numbers(self, name: str) -> Integers:
        """Return a column of 32-bit integers."""
        return self._read(name, np.dtype(np.int32))

    def counts(self, name: str) -> Rows:
        """Return a column of 64-bit integers."""
        return self._read(name, np.dtype(np.int64))

    def truths(self, name: str) -> Bools:
        """Return a column of truth values."""
        return self._read(name, np.dtype(np.bool_))

    def bytes(self, name: str) -> NDArray[np.uint8]:
        """Return a column of bytes."""
        return self._read(name, np.dtype(np.uint8))

    def texts(self, name: str) -> pa.ChunkedArray:
        """Return a column of texts as one chunk of large strings, whose buffers are the files'."""
        import pyarrow as pa

        starts = self.counts(f"{name}.starts")
        content = self.bytes(f"{name}.bytes")
        valid = np.packbits(self.truths(f"{name}.valid"), bitorder="little")
        buffers = [pa.py_buffer(part) for part in (starts, content, valid)]
        return pa.chunked_array([pa.LargeStringArray.from_buffers(len(starts) - 1, *buffers)])

    def _file(self, name: str) -> BinaryIO:
        if self.folder is None:
            return self._memory.setdefault(name, BytesIO())
        if name not in self._open:
            self._open[name] = (self.folder / name).open("wb")
        return self._open[name]

    def _flush(self) -> None:
        for file in self._open.values():
            file.flush()

    def _read(self, name: str, kind: np.dtype[Number]) -> NDArray[Number]:
        if self.folder is None:
            return np.frombuffer(self._memory[name].getbuffer(), dtype=kind)
        self._flush()
        path = self.folder / name
        if not _seen(path).st_size:
            return np.empty(0, dtype=kind)
        return np.asarray(np.memmap(path, kind, "r"))


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    """Return an answer in batches of at most ROWS_AT_ONCE rows."""
    return connection.sql(sql).to_arrow_reader(ROWS_AT_ONCE)


def numbers_of(column: pa.Array) -> NDArray[Any]:
    """Return a column as truth values or as 32-bit integers."""
    import pyarrow as pa

    kind = np.bool_ if pa.types.is_boolean(column.type) else np.int32
    return np.asarray(column.to_numpy(zero_copy_only=False).astype(kind))


def sorted_starts(rows: Integers) -> Rows:
    """Return where each row 0, 1, ... of a sorted column begins, and its end: (rows + 1,)."""
    size = int(rows[-1]) + 1 if len(rows) else 0
    return np.searchsorted(rows, np.arange(size + 1, dtype=np.int32)).astype(np.int64)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _seen(path: Path) -> Any:
    end = time.monotonic() + SECONDS_UNTIL_SEEN
    while True:
        try:
            return path.stat()
        except FileNotFoundError:
            if time.monotonic() > end:
                raise UserError(
                    f"A process does not see {path}, which the first one wrote; give an --out on "
                    "storage that all processes mount at the same path."
                ) from None
            time.sleep(0.1)
