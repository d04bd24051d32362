"""Fixtures of ingest's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from tests.ingest.picture_shop import QuietServer, Shop
from tests.shop_files import write_shop


@pytest.fixture
def picture_shop() -> Iterator[str]:
    Shop.asked.clear()
    server = QuietServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path) -> Sources:
    options = write_shop(tmp_path)
    return Sources(
        *(options[name] for name in ("products", "queries", "clicks", "labels")),
        images=Path(options["images"]),
    )
