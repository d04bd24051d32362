from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from PIL import Image

from genfilt.generators.protocols import Failure
from genfilt.ingest import download as module
from genfilt.ingest import limited_network
from genfilt.ingest.download import Limits, ascii_address, download, local_file
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store

LIMITS = Limits(seconds=5, silence=2, size=20_000, redirects=3, workers=4, pause=0.01)


def picture() -> bytes:
    held = BytesIO()
    Image.new("RGB", (8, 8), "red").save(held, "PNG")
    return held.getvalue()


class Shop(BaseHTTPRequestHandler):
    """Pictures, and everything that can go wrong with them."""

    asked: ClassVar[Counter[str]] = Counter()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = self.path.split("?")[0].strip("/")
        Shop.asked[kind] += 1
        if kind.startswith("hop"):
            step = int(kind.removeprefix("hop"))
            self.answer(302, b"", Location=f"/hop{step - 1}" if step else "/good")
        elif kind == "to-file":
            self.answer(301, b"", Location="file:///etc/passwd")
        elif kind == "to-inside":
            self.answer(307, b"", Location=f"http://127.0.0.2:{self.server.server_port}/good")  # type: ignore[attr-defined]
        elif kind == "nowhere":
            self.answer(302, b"")
        elif kind == "busy-once" and Shop.asked[kind] == 1:
            self.answer(503, b"")
        elif kind == "busy":
            self.answer(429, b"")
        elif kind == "gone":
            self.answer(404, b"no")
        elif kind == "page":
            self.answer(200, b"<html>we are sorry</html>")
        elif kind == "large":
            self.answer(200, picture() + bytes(30_000))
        elif kind == "endless":
            self.drip(pause=0.05)
        elif kind == "headers":
            self.drip_lines(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n")
        elif kind == "trailers":
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            content = picture()
            chunk = b"%x\r\n%b\r\n0\r\n" % (len(content), content)
            self.drip_lines(head + chunk, b"X-More: and more\r\n")
        elif kind == "wide-headers":
            self.answer(200, picture(), **{f"X-{n}": "x" * 60_000 for n in range(5)})
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(picture()[:50])
            self.close_connection = True
        else:
            self.answer(200, picture())

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def drip(self, pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10000")
        self.end_headers()
        try:
            for _ in range(200):
                self.wfile.write(b"x")
                time.sleep(pause)
        except OSError:
            self.close_connection = True

    def drip_lines(self, start: bytes, line: bytes) -> None:
        self.close_connection = True
        try:
            self.wfile.write(start)
            for _ in range(200):
                self.wfile.write(line)
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """A client that hangs up is what these tests are about."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    Shop.asked.clear()
    server = QuietServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def only_first(address: str) -> bool:
    """The open internet of these tests: one loopback address, and not its neighbours."""
    return address == "127.0.0.1"


def fetch(url: str, folder: Path, limits: Limits = LIMITS) -> Path | Failure:
    return dict(download([url], folder, limits, only_first))[url]


def test_pictures_arrive_in_order_and_once(shop: str, tmp_path: Path) -> None:
    urls = [f"{shop}/p{number}.png?size=small" for number in range(40)]
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
    ("kind", "reason"),
    [
        ("gone", "download failed"),
        ("page", "no picture at the address"),
        ("large", "picture too large"),
        ("cut", "download failed"),
        ("busy", "download failed"),
        ("nowhere", "download failed"),
        ("hop3", "too many redirects"),
        ("to-file", "address refused"),
        ("to-inside", "address refused"),
    ],
)
def test_what_is_no_picture_leaves_nothing_behind(
    shop: str, tmp_path: Path, kind: str, reason: str
) -> None:
    found = fetch(f"{shop}/{kind}", tmp_path)
    assert isinstance(found, Failure)
    assert found.reason == reason
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed_up_to_the_limit(shop: str, tmp_path: Path) -> None:
    assert isinstance(fetch(f"{shop}/hop2", tmp_path), Path)


def test_a_busy_server_is_asked_again(shop: str, tmp_path: Path) -> None:
    assert isinstance(fetch(f"{shop}/busy-once", tmp_path), Path)
    assert Shop.asked["busy-once"] == 2
    fetch(f"{shop}/busy", tmp_path)
    assert Shop.asked["busy"] == module.ATTEMPTS


def test_a_slow_server_is_left(shop: str, tmp_path: Path) -> None:
    found = fetch(f"{shop}/endless", tmp_path, Limits(seconds=0.3, silence=2, workers=1))
    assert isinstance(found, Failure)
    assert found.reason in ("download too slow", "download failed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["headers", "trailers"])
def test_dripped_headers_and_trailers_are_left(shop: str, tmp_path: Path, kind: str) -> None:
    started = time.monotonic()
    limits = Limits(seconds=0.4, silence=2, size=20_000, workers=1, pause=0.01)
    found = fetch(f"{shop}/{kind}", tmp_path, limits)
    assert isinstance(found, Failure)
    assert found.reason in ("download too slow", "download failed")
    assert time.monotonic() - started < 2.5
    assert not list(tmp_path.iterdir())


def test_headers_count_against_the_bytes(shop: str, tmp_path: Path) -> None:
    found = fetch(f"{shop}/wide-headers", tmp_path)
    assert isinstance(found, Failure)


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


def test_an_address_with_other_letters_is_fetched(shop: str, tmp_path: Path) -> None:
    found = fetch(f"{shop}/caf\u00e9 \u6f22.png", tmp_path)
    assert isinstance(found, Path)
    assert Shop.asked["caf%C3%A9%20%E6%BC%A2.png"] == 1


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/a.png", "file:///etc/passwd", "http://", "http://[::1/a", "http://a b/",
     "http://no-such-host.invalid/a.png"],
)  # fmt: skip
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    assert isinstance(fetch(url, tmp_path), Failure)


def test_loopback_is_refused_by_itself(shop: str, tmp_path: Path) -> None:
    port = shop.rpartition(":")[2]
    urls = [f"{shop}/good", f"http://localhost:{port}/good", f"http://2130706433:{port}/good"]
    for url, found in download(urls, tmp_path, LIMITS):
        assert isinstance(found, Failure), url
        assert found.reason == "address refused"
    assert not Shop.asked


def test_the_checked_address_is_the_one_connected_to(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to a public address first and to an inner one next gains nothing."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    real = limited_network.socket.getaddrinfo

    def resolve(host: str, *rest: Any, **named: Any) -> Any:
        return real(next(answers) if host == "shop.example" else host, *rest, **named)

    monkeypatch.setattr(limited_network.socket, "getaddrinfo", resolve)
    url = f"http://shop.example:{shop.rpartition(':')[2]}/good"
    assert isinstance(fetch(url, tmp_path), Path)
    local_file(url, tmp_path).unlink()
    found = fetch(url, tmp_path)
    assert isinstance(found, Failure)
    assert "127.0.0.2" in found.detail


def test_several_threads_may_share_a_folder(shop: str, tmp_path: Path) -> None:
    urls = [f"{shop}/p{number}.png" for number in range(10)]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(lambda: list(download(urls, tmp_path, LIMITS, only_first)))] * 4
    assert all(isinstance(path, Path) for run in runs for _, path in run.result())


def test_ingest_downloads_and_remembers(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.download, "__defaults__", (LIMITS, only_first))
    products = pa.table(
        {
            "product_id": ["1", "2", "3"],
            "title": ["a", "b", "c"],
            "image": [f"{shop}/one.png", f"{shop}/gone", f"{shop}/one.png"],
        }
    )
    with Store(tmp_path / "t.duckdb") as store:
        assert ingest(store, Sources(products=products))["failed"] == 3
        folder = tmp_path / "fetched"
        assert ingest(store, Sources(download=folder))["failed"] == 1
        assert Shop.asked == {"one.png": 1, "gone": 1}
        found = "SELECT product_id, image, image_key FROM products ORDER BY 1"
        rows = store.rows(found)
        assert rows[0][1] == rows[2][1] == str(local_file(f"{shop}/one.png", folder))
        assert rows[0][2] == rows[2][2] is not None
        assert rows[1][1:] == (f"{shop}/gone", None)
        assert store.rows("SELECT item_key, reason FROM failures") == [("2", "download failed")]
        # What lies there is used again without a word to the server.
        assert ingest(store, Sources(products=products))["failed"] == 1
        assert store.rows(found) == rows
        assert Shop.asked == {"one.png": 1, "gone": 1}
        assert ingest(store, Sources(images=tmp_path))["failed"] == 1
        assert store.rows(found) == rows
