"""A threshold join in independent blocks of rows and columns, each block's pairs in its own file.

A block is computed from two files of vectors and nothing else, anywhere and in any order, and
its file appears whole or not at all. The pairs and scores of all blocks are those of one join, to
the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genfilt.common.arrays import Floats, Rows, Vectors
from genfilt.common.atomic import replaced
from genfilt.features.vector_file import VectorFile
from genfilt.join.threshold_join import threshold_join

BLOCK_ROWS = 131_072  # 200 MB of MiniLM vectors a side
BLOCK_MEMORY = 1 << 28
PAIRS_PER_GROUP = 1 << 16  # of a file's row groups, of which a range of products reads a few
SCHEMA = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("score", pa.float64())])


class Block(NamedTuple):
    """A block's place: its number among the blocks of left rows, and among those of right rows."""

    left: int
    right: int


@dataclass(frozen=True)
class BlockJoin:
    """A join of two files of vectors whose blocks' files stand in one folder.

    Attributes:
        left, right: .npy files of float32 matrices of equal width.
        threshold: the least score, as in `threshold_join`.
        folder: of the blocks' files; two joins with different input need two folders.
        block_rows: rows of either side in a block.
        memory: bytes that a block may use beside its rows.
        device: as in `threshold_join`.
    """

    left: Path
    right: Path
    threshold: float
    folder: Path
    block_rows: int = BLOCK_ROWS
    memory: int = BLOCK_MEMORY
    device: str = "auto"

    def blocks(self) -> list[Block]:
        """Return all blocks, those of equal left rows side by side."""
        counts = [VectorFile.open(path).count for path in (self.left, self.right)]
        rows, columns = (-(-count // self.block_rows) for count in counts)
        return [Block(i, j) for i in range(rows) for j in range(columns)]

    def file(self, block: Block) -> Path:
        """Return the file of a block's pairs."""
        return self.folder / f"pairs-{block.left}-{block.right}.parquet"

    def missing(self) -> list[Block]:
        """Return the blocks that have no file yet."""
        return [block for block in self.blocks() if not self.file(block).exists()]


def write_block(join: BlockJoin, block: Block) -> Path:
    """Compute a block and write its pairs, by right, then left row, to its file; return the file.

    The file has the columns left and right, rows of the whole matrices, and score. It is written
    under a temporary name and renamed, so that a killed process leaves no part of it.

    Raises:
        UserError: the vectors cannot be read or joined, or the file cannot be written.
    """
    first = block.left * join.block_rows, block.right * join.block_rows
    left, right = (
        VectorFile.open(path).rows(start, start + join.block_rows)
        for path, start in zip((join.left, join.right), first, strict=True)
    )
    pairs = block_pairs(left, right, join.threshold, first, join.memory, join.device)
    with replaced(join.file(block), "--db") as part:
        pq.write_table(pairs, part, row_group_size=PAIRS_PER_GROUP, compression="zstd")
    return join.file(block)


def block_pairs(
    left: Vectors,
    right: Vectors,
    threshold: float,
    first: tuple[int, int] = (0, 0),
    memory: int = BLOCK_MEMORY,
    device: str = "auto",
) -> pa.Table:
    """Return the pairs of two blocks of rows in the columns of `SCHEMA`, by right, then left row.

    Args:
        left, right: (N, D) and (M, D) float32.
        threshold: the least score.
        first: the number of each side's first row in the whole matrices.
        memory: bytes that the join may use beside the rows.
        device: as in `threshold_join`.
    """
    batches = list(threshold_join(left, right, threshold, device=device, memory=memory))
    if not batches:
        return SCHEMA.empty_table()
    a, b, score = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    batches.clear()
    order = np.lexsort((a, b))
    return pa.table([a[order] + first[0], b[order] + first[1], score[order]], schema=SCHEMA)


def write_missing(join: BlockJoin) -> Iterator[Path]:
    """Write the blocks that have no file yet, in this process, and yield each one's file."""
    join.folder.mkdir(parents=True, exist_ok=True)
    for block in join.missing():
        yield write_block(join, block)


def read_pairs(file: Path, right: tuple[int, int] | None = None) -> tuple[Rows, Rows, Floats]:
    """Return a block's left rows, right rows and scores, (K,) each.

    Args:
        file: a block's file.
        right: only pairs with right rows from the first to before the last; None for all.
    """
    chosen = None
    if right is not None:
        chosen = [("right", ">=", right[0]), ("right", "<", right[1])]
    table = pq.read_table(file, filters=chosen)
    a, b, score = (table[name].to_numpy() for name in SCHEMA.names)
    return a, b, score
