"""A join's blocks on an engine: each worker writes the files of the blocks that it is given."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from genfilt.common.errors import UserError
from genfilt.engines.protocol import Engine, Lost, Work
from genfilt.join.blocks import Block, BlockJoin, write_block


@dataclass(frozen=True)
class JoinOpener:
    """Opens a join in a worker, which must see the join's files at the driver's paths."""

    join: BlockJoin

    @contextmanager
    def __call__(self) -> Iterator[Work[Block, Path]]:
        """Check that the files are seen."""
        for path in (self.join.left, self.join.right, self.join.folder):
            if not path.exists():
                raise UserError(
                    f"The worker on {platform.node()} does not see {path}; keep --db in a folder "
                    "that every node mounts at the same path."
                )
        yield self._write

    def _write(self, blocks: Mapping[str, Block]) -> Iterator[tuple[str, Path]]:
        for name, block in blocks.items():
            yield name, write_block(self.join, block)


def write_blocks(join: BlockJoin, engine: Engine) -> Iterator[Path]:
    """Write the blocks that have no file yet, on the engine, and yield each one's file.

    Raises:
        UserError: a block cannot be written; those that were stay.
    """
    # Workers have working directories of their own.
    places = {name: getattr(join, name).absolute() for name in ("left", "right", "folder")}
    join = replace(join, **places)
    join.folder.mkdir(parents=True, exist_ok=True)
    blocks = ((join.file(block).name, block) for block in join.missing())
    for name, file in engine.map(JoinOpener(join), blocks, batch=1):
        if isinstance(file, Lost):
            raise UserError(
                f"The block {name} of the join ended each worker that computed it "
                f"({file.detail}); give the workers more memory and run the command again."
            )
        yield file
