"""Pictures by address: in parallel, resumable, limited, and never from inside the network.

A catalogue is foreign data, and an address in it may point at a machine that only this one can
reach. Every address that a name resolves to is checked at the moment of connecting, and the
connection goes to the checked one, so that neither a redirect nor a name that resolves differently
the second time leads anywhere else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from genfilt.store.failures import Failure
from genfilt.store.keys import text_key

Allow = Callable[[str], bool]

SCHEMES = ("http", "https")
REDIRECTS = (301, 302, 303, 307, 308)
TRANSIENT = (429, 500, 502, 503, 504)
ATTEMPTS = 3
HEADERS = [("User-Agent", "genfilt"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
AHEAD = 4  # pictures that wait for each worker
NAT64 = IPv6Network("64:ff9b::/96")  # carries an IPv4 address in its last four bytes


@dataclass(frozen=True)
class Limits:
    """How much one picture may cost.

    Attributes:
        seconds: from the first byte asked for to the last one received, redirects included.
        silence: seconds without a byte.
        size: bytes.
        redirects: how many are followed.
        workers: pictures that are fetched at a time.
        pause: seconds before a server that was busy is asked again.
    """

    seconds: float = 60.0
    silence: float = 10.0
    size: int = 20 << 20
    redirects: int = 5
    workers: int = 16
    pause: float = 1.0


def local_file(url: str, folder: Path) -> Path:
    """Return where an address's picture lies once it was downloaded."""
    return folder / text_key(url)


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the open internet, through every known disguise."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found in NAT64:
            return is_public(str(IPv4Address(int(found) & 0xFFFFFFFF)))
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.sixtofour is not None or found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast


def download(
    urls: Iterable[str], folder: Path, limits: Limits | None = None, allow: Allow = is_public
) -> Iterator[tuple[str, Path | Failure]]:
    """Fetch pictures into `folder`; yield (url, file or why there is none) in the order given.

    What lies there already is not fetched again. A file appears when it is complete.

    Args:
        urls: http or https addresses.
        folder: made where it is missing.
        limits: what one picture may cost.
        allow: which IP addresses may be connected to.
    """
    limits = limits or Limits()
    folder.mkdir(parents=True, exist_ok=True)
    pool = httpcore.ConnectionPool(
        max_connections=limits.workers, network_backend=_CheckedBackend(allow)
    )
    with pool, ThreadPoolExecutor(limits.workers) as workers:

        def start(url: str) -> tuple[str, Future[Path | Failure]]:
            return url, workers.submit(_fetch, pool, url, local_file(url, folder), limits)

        waiting = iter(urls)
        held = [start(url) for url in islice(waiting, limits.workers * AHEAD)]
        while held:
            url, future = held.pop(0)
            yield url, future.result()
            held.extend(start(url) for url in islice(waiting, 1))


class _RefusedError(Exception):
    """An address that must not be connected to."""


class _CheckedBackend(httpcore.SyncBackend):
    """Connects to the address that was checked, not to whatever the name resolves to next."""

    def __init__(self, allow: Allow) -> None:
        self._allow = allow

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        # One private address is enough to refuse: which one is tried first is not ours to choose.
        for address in addresses:
            if not self._allow(address):
                raise _RefusedError(f"{host} is {address}, which is not on the open internet")
        return super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def _fetch(pool: httpcore.ConnectionPool, url: str, path: Path, limits: Limits) -> Path | Failure:
    if path.is_file():
        return path
    deadline = time.monotonic() + limits.seconds
    for attempt in range(ATTEMPTS):
        found = _follow(pool, url, limits, deadline)
        if not isinstance(found, _Busy):
            break
        if attempt + 1 < ATTEMPTS:
            time.sleep(limits.pause * 2**attempt)
    if isinstance(found, _Busy):
        return Failure("download failed", f"{url[:500]}: {found.why}")
    if isinstance(found, Failure):
        return found
    if not _is_picture(found):
        return Failure("no picture at the address", url[:500])
    partial = path.with_suffix(".part")
    partial.write_bytes(found)
    partial.replace(path)
    return path


@dataclass(frozen=True)
class _Busy:
    """A failure that may have passed the next time."""

    why: str


def _follow(
    pool: httpcore.ConnectionPool, url: str, limits: Limits, deadline: float
) -> bytes | Failure | _Busy:
    """Return what the address gives, through redirects."""
    place = url
    try:
        for _ in range(limits.redirects + 1):
            if urlsplit(place).scheme not in SCHEMES:
                return Failure("address refused", f"{url[:500]} leads to {place[:500]}")
            answer = _get(pool, place, limits, deadline)
            if not isinstance(answer, str):
                return answer
            place = urljoin(place, answer)
    except _RefusedError as error:
        return Failure("address refused", f"{url[:500]}: {error}")
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.RemoteProtocolError,
    ) as error:
        return _Busy(f"{type(error).__name__} {error}".strip())
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        return Failure("download failed", f"{url[:500]}: {error}")
    return Failure("too many redirects", f"{url[:500]}: more than {limits.redirects}")


def _get(
    pool: httpcore.ConnectionPool, place: str, limits: Limits, deadline: float
) -> bytes | str | Failure | _Busy:
    """Return the content, or where a redirect leads."""
    left = min(limits.silence, max(deadline - time.monotonic(), 0.001))
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), left)
    with pool.stream("GET", place, headers=HEADERS, extensions={"timeout": timeout}) as answer:
        if answer.status in REDIRECTS:
            location = [value for name, value in answer.headers if name.lower() == b"location"]
            return (
                location[0].decode("utf-8", "replace")
                if location
                else Failure("download failed", f"{place[:500]}: a redirect to nowhere")
            )
        if answer.status in TRANSIENT:
            return _Busy(f"status {answer.status}")
        if answer.status != 200:
            return Failure("download failed", f"{place[:500]}: status {answer.status}")
        content = bytearray()
        for part in answer.iter_stream():
            content += part
            if len(content) > limits.size:
                return Failure("picture too large", f"{place[:500]}: over {limits.size:,} bytes")
            if time.monotonic() > deadline:
                return Failure("download too slow", f"{place[:500]}: over {limits.seconds:g} s")
        return bytes(content)


def _is_picture(content: bytes) -> bool:
    """Tell whether the first bytes are those of a picture; nothing is decoded."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content)):
            return True
    except Exception:  # Pillow's readers raise whatever a broken header leads to
        return False
