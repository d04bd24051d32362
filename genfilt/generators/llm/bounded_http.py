"""HTTP exchanges of bounded size and time, without redirects: a server may be broken or hostile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

MAX_BODY_BYTES = 4 << 20  # a completion of the largest token limit has under 100 kB
BODY_SECONDS = 30.0  # from the headers to the end: a server writes a body only when it is complete

T = TypeVar("T")


class EndlessReplyError(Exception):
    """A body has more than MAX_BODY_BYTES."""


@dataclass(frozen=True)
class Response:
    """A server's answer; `retry_after` and `location` are its headers of these names."""

    status: int
    text: str
    retry_after: str = "0"
    location: str = ""


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: Mapping[str, object] | None = None,
) -> Response:
    """Send one request and return the answer; a redirect is an answer like any other.

    Raises:
        EndlessReplyError: the answer has more than MAX_BODY_BYTES.
        TimeoutError: it took longer than the session's limit, or its body than BODY_SECONDS.
        aiohttp.ClientError: the server cannot be reached or breaks the protocol.
    """
    async with session.request(
        method,
        url,
        json=body,
        allow_redirects=False,
        headers={"Accept-Encoding": "identity"},
    ) as answer:
        content = bytearray()
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in answer.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > MAX_BODY_BYTES:
                    raise EndlessReplyError(f"more than {MAX_BODY_BYTES >> 20} MB from {url}")
        return Response(
            answer.status,
            content.decode(errors="replace"),
            answer.headers.get("retry-after", "0"),
            answer.headers.get("location", ""),
        )


def run_in_thread(work: Coroutine[object, object, T]) -> T:
    """Return what a coroutine returns; it runs in a thread, so that the caller may have a loop."""
    found: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return found[0]
