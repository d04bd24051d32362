"""A picture server on loopback that answers well, slowly, wrongly or without end."""

from __future__ import annotations

import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import ClassVar

from PIL import Image

from genfilt.generators.protocols import Failure
from genfilt.ingest.download import Limits, download

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


def only_first(address: str) -> bool:
    """The open internet of these tests: one loopback address, and not its neighbours."""
    return address == "127.0.0.1"


def fetch(url: str, folder: Path, limits: Limits = LIMITS) -> Path | Failure:
    return dict(download([url], folder, limits, only_first))[url]
