"""Pictures by address: in parallel, resumable, limited, and never from inside the network.

A catalogue is foreign data, and an address in it may point at a machine that only this one can
reach. Every address that a name resolves to is checked at the moment of connecting, and the
connection goes to the checked one, so that neither a redirect nor a name that resolves differently
the second time leads anywhere else. Time and bytes are limited where they are read from the
network, so headers and trailers count as the content does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpcore

from genfilt.common.atomic import write_bytes
from genfilt.ingest.addresses import is_public
from genfilt.ingest.limited_network import (
    Allow,
    Budget,
    CheckedBackend,
    RefusedError,
    TooLargeError,
    TooSlowError,
)
from genfilt.store.failures import Failure
from genfilt.store.keys import text_key

SCHEMES = ("http", "https")
REDIRECTS = (301, 302, 303, 307, 308)
TRANSIENT = (429, 500, 502, 503, 504)
ATTEMPTS = 3
HEADERS = [("User-Agent", "genfilt"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
AHEAD = 4  # pictures that wait for each worker
HEADER_BYTES = 1 << 17  # of all headers and trailers of a picture, beside its content
SAFE = "/%:@!$&'()*+,;=~"  # characters of a path or query that stand for themselves


@dataclass(frozen=True)
class Limits:
    """How much one picture may cost.

    Attributes:
        seconds: from the first request to the last byte, retries and redirects included.
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
    budget = Budget()
    pool = httpcore.ConnectionPool(
        max_connections=limits.workers, network_backend=CheckedBackend(allow, budget)
    )
    client = _Client(pool, budget, limits)
    with pool, ThreadPoolExecutor(limits.workers) as workers:

        def start(url: str) -> tuple[str, Future[Path | Failure]]:
            return url, workers.submit(_fetch, client, url, local_file(url, folder))

        waiting = iter(urls)
        running = deque(start(url) for url in islice(waiting, limits.workers * AHEAD))
        while running:
            url, future = running.popleft()
            yield url, future.result()
            running.extend(start(url) for url in islice(waiting, 1))


@dataclass(frozen=True)
class _Client:
    pool: httpcore.ConnectionPool
    budget: Budget
    limits: Limits


@dataclass(frozen=True)
class _Busy:
    """A failure that may have passed the next time."""

    why: str


def _fetch(client: _Client, url: str, path: Path) -> Path | Failure:
    if path.is_file():
        return path
    limits = client.limits
    client.budget.deadline = time.monotonic() + limits.seconds
    for attempt in range(ATTEMPTS):
        client.budget.bytes_left = limits.size + HEADER_BYTES
        found = _follow(client, url)
        if not isinstance(found, _Busy):
            break
        pause = limits.pause * 2**attempt
        if attempt + 1 < ATTEMPTS and time.monotonic() + pause < client.budget.deadline:
            time.sleep(pause)
    if isinstance(found, _Busy):
        return Failure("download failed", f"{url[:500]}: {found.why}")
    if isinstance(found, Failure):
        return found
    if not _is_picture(found):
        return Failure("no picture at the address", url[:500])
    write_bytes(path, found, "--download")
    return path


def _follow(client: _Client, url: str) -> bytes | Failure | _Busy:
    """Return what the address gives, through redirects."""
    limits = client.limits
    place = url
    try:
        for _ in range(limits.redirects + 1):
            if urlsplit(place).scheme.lower() not in SCHEMES:
                return Failure("address refused", f"{url[:500]} leads to {place[:500]}")
            answer = _get(client, ascii_address(place))
            if not isinstance(answer, str):
                return answer
            place = urljoin(place, answer)
    except RefusedError as error:
        return Failure("address refused", f"{url[:500]}: {error}")
    except TooLargeError:
        return Failure("picture too large", f"{url[:500]}: over {limits.size:,} bytes")
    except TooSlowError:
        return Failure("download too slow", f"{url[:500]}: over {limits.seconds:g} s")
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.RemoteProtocolError,
    ) as error:
        return _Busy(f"{type(error).__name__} {error}".strip())
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        return Failure("download failed", f"{url[:500]}: {error}")
    return Failure("too many redirects", f"{url[:500]}: more than {limits.redirects}")


def _get(client: _Client, place: str) -> bytes | str | Failure | _Busy:
    """Return the content, or where a redirect leads."""
    limits = client.limits
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), limits.silence)
    extensions = {"timeout": timeout}
    with client.pool.stream("GET", place, headers=HEADERS, extensions=extensions) as answer:
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
                raise TooLargeError
        return bytes(content)


def ascii_address(address: str) -> str:
    """Return an address in ASCII: the host by IDNA, other characters as %XX of their UTF-8.

    Raises:
        ValueError: the host or port is not valid.
    """
    parts = urlsplit(address.strip())
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if ":" in host:
        host = f"[{host}]"
    if any(character.isspace() for character in host):
        raise ValueError(f"the host {host!r} holds a blank")
    port = f":{parts.port}" if parts.port is not None else ""
    path, query = quote(parts.path, SAFE), quote(parts.query, f"{SAFE}?")
    return urlunsplit((parts.scheme.lower(), f"{host}{port}", path or "/", query, ""))


def _is_picture(content: bytes) -> bool:
    """Tell whether the first bytes are those of a picture; nothing is decoded."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content)):
            return True
    except Exception:  # Pillow's readers raise whatever a broken header leads to
        return False
