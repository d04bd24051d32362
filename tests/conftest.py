from __future__ import annotations

import os
from pathlib import Path

import pytest

from genfilt.features.embed import Embedder


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """all-MiniLM-L6-v2 from the installed package, loaded once."""
    return Embedder()


@pytest.fixture(scope="session")
def luma() -> Path:
    """The Luma catalogue's folder."""
    folder = os.environ.get("LUMA_DIR")
    if not folder:
        pytest.skip("LUMA_DIR is not set: it names the folder of the Luma catalogue")
    return Path(folder)
