"""Downloading pictures: in order, once, from public addresses alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from genfilt.generators.protocols import Failure
from genfilt.ingest import download as module
from genfilt.ingest import limited_network
from genfilt.ingest.download import ascii_address, download, local_file
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from tests.ingest.picture_shop import LIMITS, Shop, fetch, only_first, picture


def test_pictures_arrive_in_order_and_once(picture_shop: str, tmp_path: Path) -> None:
    urls = [f"{picture_shop}/p{number}.png?size=small" for number in range(40)]
    found = list(download(urls, tmp_path, LIMITS, only_first))
    assert [url for url, _ in found] == urls
    assert all(path == local_file(url, tmp_path) for url, path in found)
    assert {local_file(url, tmp_path).read_bytes() for url in urls} == {picture()}
    assert list(download(urls, tmp_path, LIMITS, only_first)) == found
    assert set(Shop.asked.values()) == {1}
    local_file(urls[3], tmp_path).unlink()
    assert list(download(urls, tmp_path, LIMITS, only_first)) == found
    assert sum(Shop.asked.values()) == 41


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://x.example/a b.png", "http://x.example/a%20b.png"),
        ("http://x.example/caf\u00e9%20\u6f22.png?q=\u00fc#part", "http://x.example/caf%C3%A9%20%E6%BC%A2.png?q=%C3%BC"),
        ("HTTP://b\u00fccher.example:8080", "http://xn--bcher-kva.example:8080/"),
        ("https://[2606:4700::1]/a", "https://[2606:4700::1]/a"),
    ],
)  # fmt: skip
def test_addresses_are_sent_in_ascii(address: str, expected: str) -> None:
    assert ascii_address(address) == expected


def test_an_address_with_other_letters_is_fetched(picture_shop: str, tmp_path: Path) -> None:
    found = fetch(f"{picture_shop}/caf\u00e9 \u6f22.png", tmp_path)
    assert isinstance(found, Path)
    assert Shop.asked["caf%C3%A9%20%E6%BC%A2.png"] == 1


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/a.png", "file:///etc/passwd", "http://", "http://[::1/a", "http://a b/",
     "http://no-such-host.invalid/a.png"],
)  # fmt: skip
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    assert isinstance(fetch(url, tmp_path), Failure)


def test_loopback_is_refused_by_itself(picture_shop: str, tmp_path: Path) -> None:
    port = picture_shop.rpartition(":")[2]
    urls = [
        f"{picture_shop}/good",
        f"http://localhost:{port}/good",
        f"http://2130706433:{port}/good",
    ]
    for url, found in download(urls, tmp_path, LIMITS):
        assert isinstance(found, Failure), url
        assert found.reason == "address refused"
    assert not Shop.asked


def test_the_checked_address_is_the_one_connected_to(
    picture_shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to a public address first and to an inner one next gains nothing."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    real = limited_network.socket.getaddrinfo

    def resolve(host: str, *rest: Any, **named: Any) -> Any:
        return real(next(answers) if host == "shop.example" else host, *rest, **named)

    monkeypatch.setattr(limited_network.socket, "getaddrinfo", resolve)
    url = f"http://shop.example:{picture_shop.rpartition(':')[2]}/good"
    assert isinstance(fetch(url, tmp_path), Path)
    local_file(url, tmp_path).unlink()
    found = fetch(url, tmp_path)
    assert isinstance(found, Failure)
    assert "127.0.0.2" in found.detail


def test_several_threads_may_share_a_folder(picture_shop: str, tmp_path: Path) -> None:
    urls = [f"{picture_shop}/p{number}.png" for number in range(10)]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(lambda: list(download(urls, tmp_path, LIMITS, only_first)))] * 4
    assert all(isinstance(path, Path) for run in runs for _, path in run.result())


def test_ingest_downloads_and_remembers(
    picture_shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.download, "__defaults__", (LIMITS, only_first))
    products = pa.table(
        {
            "product_id": ["1", "2", "3"],
            "title": ["a", "b", "c"],
            "image": [f"{picture_shop}/one.png", f"{picture_shop}/gone", f"{picture_shop}/one.png"],
        }
    )
    with Store(tmp_path / "t.duckdb") as store:
        assert ingest(store, Sources(products=products))["failed"] == 3
        folder = tmp_path / "fetched"
        assert ingest(store, Sources(download=folder))["failed"] == 1
        assert Shop.asked == {"one.png": 1, "gone": 1}
        found = "SELECT product_id, image, image_key FROM products ORDER BY 1"
        rows = store.rows(found)
        assert rows[0][1] == rows[2][1] == str(local_file(f"{picture_shop}/one.png", folder))
        assert rows[0][2] == rows[2][2] is not None
        assert rows[1][1:] == (f"{picture_shop}/gone", None)
        assert store.rows("SELECT item_key, reason FROM failures") == [("2", "download failed")]
        # What lies there is used again without a word to the server.
        assert ingest(store, Sources(products=products))["failed"] == 1
        assert store.rows(found) == rows
        assert Shop.asked == {"one.png": 1, "gone": 1}
        assert ingest(store, Sources(images=tmp_path))["failed"] == 1
        assert store.rows(found) == rows
