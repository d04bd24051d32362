from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.engines.protocol import Engine
from genfilt.features.embed import Embedder

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

STORE_BYTES = 100 << 20  # of shared memory for each node of the Ray cluster


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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster here: a head without processors and two nodes of one processor each."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def engine(cluster: Cluster) -> Iterator[Engine]:
    """The engine of two workers on the cluster."""
    with open_engine(EngineChoice(EngineName.ray, cluster.address, 2)) as opened:
        yield opened
