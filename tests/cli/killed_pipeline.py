"""The main job as a process that a test may kill: whatever is slow to import is imported here.

The server that forks the processes loads this module once.
"""

from __future__ import annotations

import sentence_transformers  # noqa: F401
import torch

import genfilt.extract.missing
import genfilt.features.embed
import genfilt.join.pairs
from genfilt.cli.app import app
from genfilt.generators import fitted  # noqa: F401


def run(db: str, shop: dict[str, str]) -> None:
    """Ingest, extract and filter, writing so often that a kill finds something half done."""
    torch.set_num_threads(1)  # two would spin for each other wherever cores are shared
    genfilt.extract.missing.ROWS_PER_WRITE = 4
    genfilt.features.embed.TEXTS_PER_WRITE = 8
    files = [word for name, path in shop.items() for word in (f"--{name}", path)]
    for words in (["ingest", *files], ["extract"], ["filter", "--sigma", "0.6"]):
        app([*words, "--db", db], standalone_mode=False)
