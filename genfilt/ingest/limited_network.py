"""Network connections of limited time and bytes, to addresses that may be connected to."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable

import httpcore

Allow = Callable[[str], bool]


class RefusedError(Exception):
    """An address that must not be connected to."""


class TooLargeError(Exception):
    """A picture that costs more bytes than it may."""


class TooSlowError(Exception):
    """A picture that costs more time than it may."""


class Budget(threading.local):
    """What the picture of this thread may still cost."""

    deadline = 0.0
    bytes_left = 0


class _LimitedStream(httpcore.NetworkStream):
    """A connection whose reads count against the budget of the thread that reads."""

    def __init__(self, stream: httpcore.NetworkStream, budget: Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._budget.bytes_left <= 0:
            raise TooLargeError
        content = self._stream.read(max_bytes, self._left(timeout))
        self._budget.bytes_left -= len(content)
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _LimitedStream(stream, self._budget)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._budget.deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError
        return left if timeout is None else min(left, timeout)


class CheckedBackend(httpcore.SyncBackend):
    """Connects to the address that was checked, not to whatever the name resolves to next."""

    def __init__(self, allow: Allow, budget: Budget) -> None:
        self._allow, self._budget = allow, budget

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host of which every address is allowed.

        Raises:
            httpcore.ConnectError: the host has no address, or does not answer.
            RefusedError: one of its addresses is not allowed.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        # One private address is enough to refuse: which one is tried first is not ours to choose.
        for address in addresses:
            if not self._allow(address):
                raise RefusedError(f"{host} is {address}, which is not on the open internet")
        stream = super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)
        return _LimitedStream(stream, self._budget)
