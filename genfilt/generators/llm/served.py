"""Titles and pictures through a served model: vLLM, or any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from genfilt.common.photos import open_photo
from genfilt.generators.llm.chat_client import Chat, ChatServer, Usage
from genfilt.generators.llm.reply import (
    CAPTION_LIMITS,
    FIRST_LIMIT,
    SCHEMA,
    SECOND_LIMIT,
    attributes_prompt_key,
    build_prompt,
    caption_prompt_key,
    parse_caption,
    parse_reply,
)
from genfilt.generators.llm.request_window import Ask, Flight, Patience, Window
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.prompts import render
from genfilt.generators.protocols import Attributes, Caption, Failure

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_SIDE = 768  # pixels of a picture that is sent


class _Served:
    """A model behind a URL, or behind a server that this object starts and ends itself."""

    def __init__(
        self,
        url: str | None = None,
        model: str | None = None,
        *,
        timeout: float = 300.0,
        patience: Patience | None = None,
    ) -> None:
        """Connect to `url`; with a model and no URL, serve that model once it is asked something.

        Args:
            url: of an OpenAI-compatible server.
            model: the name that it serves, else what vLLM shall serve; None for the only one.
            timeout: seconds that one request may take.
            patience: how long a server in trouble is waited for.

        Raises:
            UserError: there is no such server or model.
        """
        self._own = VllmServer(model) if url is None and model is not None else None
        self._at, self._model, self._timeout = url or "", model, timeout
        self._patience = patience or Patience()
        self._window = Window()
        self.name = f"vllm:{model if self._own is not None else self._server.model}"

    @cached_property
    def _server(self) -> ChatServer:
        """The server; our own is started by the first who asks for it, which takes minutes."""
        try:
            url = self._own.start() if self._own is not None else self._at
            return ChatServer(url, self._model, timeout=self._timeout)
        except BaseException:
            self.close()
            raise

    @property
    def usage(self) -> Usage:
        """What was asked of the model so far."""
        return self._server.usage if "_server" in self.__dict__ else Usage()

    @property
    def in_flight(self) -> int:
        """How many requests the window now holds at most."""
        return self._window.size

    @property
    def server_pid(self) -> int | None:
        """The process of the server that this object started, if it did."""
        return self._own.pid if self._own is not None else None

    def close(self) -> None:
        """End the server, where this object started it."""
        if self._own is not None:
            self._own.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _stream(
        self,
        items: Mapping[str, Item],
        connect: Callable[[], AbstractAsyncContextManager[Ask[Item, Result]]],
    ) -> Iterator[tuple[str, Result | Failure]]:
        if not items:
            return iter(())
        _ = self._server  # started in this thread, with whose end it would end
        check = self._own.check if self._own is not None else _no_check
        return Flight(connect, self._window, self._patience, check).run(items)


class VllmReader(_Served):
    """Reads titles with a served language model."""

    prompt_key = attributes_prompt_key()

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (title key, result) for each title as the server answers.

        Raises UserError when vLLM does not start or the server is gone; what was yielded before
        stays good.
        """
        return self._stream(titles, self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Ask[str, Attributes | Failure]]:
        async with self._server.connect() as chat:

            async def ask(title: str) -> Attributes | Failure:
                return await read_title(chat, title)

            yield ask


class VllmCaptioner(_Served):
    """Describes pictures with a served vision model; a picture travels as a data URL."""

    def __init__(
        self, url: str | None = None, model: str | None = None, *, timeout: float = 300.0
    ) -> None:
        """Take the same as every served model; see there."""
        self._prompt = render("image_caption")
        self.prompt_key = caption_prompt_key(self._prompt)
        super().__init__(url, model, timeout=timeout)

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture as the server answers.

        Raises UserError when vLLM does not start or the server is gone; what was yielded before
        stays good.
        """
        return self._stream(pictures, self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Ask[Path, Caption | Failure]]:
        async with self._server.connect() as chat:

            async def ask(path: Path) -> Caption | Failure:
                return await caption_picture(chat, path, self._prompt)

            yield ask


async def read_title(chat: Chat, title: str) -> Attributes | Failure:
    """Ask for a title's attributes; a bad reply is asked for once more with a larger limit."""
    result: Attributes | Failure = Failure("not asked")
    for attempt, limit in enumerate((FIRST_LIMIT, SECOND_LIMIT), 1):
        reply = await chat.ask(build_prompt(title), limit, SCHEMA)
        if isinstance(reply, Failure):
            return reply
        result = parse_reply(title, reply, attempt)
        if isinstance(result, Attributes):
            return result
    return result


async def caption_picture(chat: Chat, path: Path, prompt: str) -> Caption | Failure:
    """Ask for a caption; a bad reply is asked for once more with a larger limit."""
    try:
        url = await asyncio.to_thread(data_url, path)
    except Exception as error:
        return Failure("unreadable picture", f"{path}: {error}")
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": prompt},
    ]
    result: Caption | Failure = Failure("not asked")
    for limit in CAPTION_LIMITS:
        reply = await chat.ask(content, limit)
        if isinstance(reply, Failure):
            return reply
        result = parse_caption(prompt, reply)
        if isinstance(result, Caption):
            return result
    return result


def data_url(path: Path) -> str:
    """Return a picture as a JPEG data URL, its longest side at most 768 pixels."""
    buffer = io.BytesIO()
    open_photo(path, LONGEST_SIDE).save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _no_check() -> None:
    """Say nothing of a server that somebody else runs."""
