"""A server on loopback that speaks the chat protocol, and misbehaves as a test asks it to."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from genfilt.generators.llm.title_request import PROBE, PROBE_ANSWER

Body = dict[str, Any]
Answer = tuple[int, Any, dict[str, str]]  # status, body, headers
MODEL = "peer-model"


@dataclass(frozen=True)
class Stream:
    """A body without end: the same bytes again and again, with pauses between them."""

    content: bytes
    pause: float = 0.0


def completion(text: str, finish_reason: str = "stop") -> Answer:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, {}


def title_of(body: Body) -> str:
    """The title, as it stands in JSON at the end of the last message."""
    return json.loads(body["messages"][-1]["content"].rsplit("Title: ", 1)[1])


def attributes(body: Body) -> Answer:
    """A faithful answer: the title's last word is what is sold."""
    fields = dict.fromkeys(["material", "brand", "color", "model_parameters"])
    return completion(json.dumps({"core_word": title_of(body).split()[-1], **fields}))


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


class ChatPeer:
    """Answers `behave(number of the request, its body)`; None hangs up without an answer."""

    def __init__(self, behave: Callable[[int, Body], Answer | None]) -> None:
        self.behave = behave
        self.bodies: list[Body] = []
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.models = [MODEL]
        self.listing: Answer | None = None  # what /models answers instead of the list
        self.grammars = False  # whether replies are bound to grammars
        self._at_once = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._server = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"peer": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> ChatPeer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Stop listening and break every connection, as a dead process does."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
        with self._lock:
            sockets = list(self._sockets)
        for connection in sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _enter(self, body: Body, headers: dict[str, str]) -> int:
        with self._lock:
            self.bodies.append(body)
            self.headers.append({name.title(): value for name, value in headers.items()})
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return len(self.bodies)


class _Handler(BaseHTTPRequestHandler):
    peer: ChatPeer

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.peer._lock:
            self.peer._sockets.add(self.connection)

    def finish(self) -> None:
        with self.peer._lock:
            self.peer._sockets.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        models = {"data": [{"id": name} for name in self.peer.models]}
        self._send(self.peer.listing or (200, models, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("structured_outputs") == {"grammar": PROBE}:
            self._send(completion(PROBE_ANSWER if self.peer.grammars else "Hello!"))
            return
        number = self.peer._enter(body, dict(self.headers))
        try:
            answer = self.peer.behave(number, body)
        finally:
            with self.peer._lock:
                self.peer._at_once -= 1
        if answer is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        status, body, headers = answer
        if isinstance(body, Stream):
            self._stream(status, body)
            return
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def _stream(self, status: int, stream: Stream) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.send_response(status)
            self.end_headers()
            while True:
                self.wfile.write(stream.content)
                self.wfile.flush()
                time.sleep(stream.pause)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def hang(seconds: float) -> Answer:
    time.sleep(seconds)
    return completion("late")
