"""Titles and pictures through served models: vLLM, or any OpenAI-compatible servers."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Self, TypeVar

from genfilt.common.console import say
from genfilt.common.photos import open_photo
from genfilt.generators.llm.chat_client import Chat, ChatServer, Usage
from genfilt.generators.llm.reply import (
    CAPTION_LIMITS,
    REPEATED,
    caption_prompt_key,
    parse_caption,
    parse_title_reply,
)
from genfilt.generators.llm.request_run import Ask, Endpoint, RequestRun
from genfilt.generators.llm.request_window import RequestWindow, RetryPolicy
from genfilt.generators.llm.title_request import (
    FIRST_LIMIT,
    SECOND_LIMIT,
    Message,
    grammar_constraint,
    schema_constraint,
    title_grammar,
    title_messages,
    title_prompt_key,
)
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.prompts import caption_prompt
from genfilt.generators.protocols import Attributes, Caption, Failure

Item = TypeVar("Item")
Result = TypeVar("Result")
Connect = Callable[[ChatServer], AbstractAsyncContextManager[Ask[Item, Result]]]

LONGEST_SIDE = 768  # pixels of a picture that is sent


class _ServedModel:
    """A model behind one or several URLs, or behind a server that this object starts and ends."""

    def __init__(
        self,
        urls: str | Sequence[str] = (),
        model: str | None = None,
        *,
        timeout: float = 300.0,
        policy: RetryPolicy | None = None,
    ) -> None:
        """Connect to the URLs; with a model and no URL, serve that model once it is needed.

        Args:
            urls: of OpenAI-compatible servers of one model, which share the items.
            model: the name that they serve, else what vLLM shall serve; None for the only one.
            timeout: seconds that one request may take.
            policy: how long a server in trouble is waited for.

        Raises:
            UserError: there is no such server or model.
        """
        self._urls = (urls,) if isinstance(urls, str) else tuple(urls)
        self._own = VllmServer(model) if not self._urls and model is not None else None
        self._model, self._timeout = model, timeout
        self._policy = policy or RetryPolicy()
        self._windows: dict[str, RequestWindow] = {}
        self._dropped: set[str] = set()  # servers that an earlier run gave up
        self.name = f"vllm:{model if self._own is not None else self._servers[0].model}"

    @cached_property
    def _servers(self) -> Sequence[ChatServer]:
        """The servers; our own is started at the first use, which takes minutes."""
        try:
            urls = (self._own.start(),) if self._own is not None else self._urls
            servers = [ChatServer(url, self._model, timeout=self._timeout) for url in urls]
            for server in servers:
                server.model = servers[0].model  # results of one run have one generator
            return servers
        except BaseException:
            self.close()
            raise

    @property
    def usage(self) -> Usage:
        """The requests to the model so far."""
        total = Usage()
        for server in self._servers if "_servers" in self.__dict__ else ():
            total.requests += server.usage.requests
            total.prompt_tokens += server.usage.prompt_tokens
            total.completion_tokens += server.usage.completion_tokens
        return total

    @property
    def in_flight(self) -> int:
        """How many requests the windows now allow at most."""
        return sum(window.size for window in self._windows.values())

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

    def _run(
        self, items: Mapping[str, Item], connect: Connect[Item, Result]
    ) -> Iterator[tuple[str, Result | Failure]]:
        endpoints = []
        for server in self._servers:
            if server.url in self._dropped:
                continue
            window = self._windows.setdefault(server.url, RequestWindow())
            check = self._own.check if self._own is not None else _no_check
            endpoints.append(Endpoint(server.url, partial(connect, server), window, check))
        run = RequestRun(endpoints, self._policy)
        try:
            yield from run.run(items)
        finally:
            self._dropped |= run.dropped


class VllmReader(_ServedModel):
    """Reads titles with a served language model.

    Replies are bound to a grammar of each title where the server supports grammars, else to a JSON
    schema; fields that the title does not hold are dropped either way.
    """

    prompt_key = title_prompt_key()

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (title key, result) for each title as the servers answer.

        Raises UserError when vLLM does not start or the last server is gone; what was yielded
        before stays good.
        """
        if not titles:
            return iter(())
        _ = self._grammar_urls  # before the run: a probe waits for its answer
        return self._run(titles, self._open)

    @cached_property
    def _grammar_urls(self) -> frozenset[str]:
        """The servers that follow grammars."""
        found = frozenset(server.url for server in self._servers if server.follows_grammars())
        for server in self._servers:
            if server.url not in found:
                say(f"{server.url} does not follow grammars; replies are bound to a JSON schema.")
        return found

    @asynccontextmanager
    async def _open(self, server: ChatServer) -> AsyncIterator[Ask[str, Attributes | Failure]]:
        async with server.connect() as chat:
            by_grammar = server.url in self._grammar_urls

            async def ask(title: str) -> Attributes | Failure:
                return await read_title(chat, title, by_grammar=by_grammar)

            yield ask


class VllmCaptioner(_ServedModel):
    """Describes pictures with a served vision model; a picture travels as a data URL."""

    def __init__(
        self,
        urls: str | Sequence[str] = (),
        model: str | None = None,
        *,
        timeout: float = 300.0,
        prompt: Path | None = None,
    ) -> None:
        """Take what every served model takes, and a file with another prompt."""
        self._prompt = caption_prompt(prompt)
        self.prompt_key = caption_prompt_key(self._prompt)
        super().__init__(urls, model, timeout=timeout)

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture as the servers answer.

        Raises UserError when vLLM does not start or the last server is gone; what was yielded
        before stays good.
        """
        return self._run(pictures, self._open) if pictures else iter(())

    @asynccontextmanager
    async def _open(self, server: ChatServer) -> AsyncIterator[Ask[Path, Caption | Failure]]:
        async with server.connect() as chat:

            async def ask(path: Path) -> Caption | Failure:
                return await caption_picture(chat, path, self._prompt)

            yield ask


async def read_title(chat: Chat, title: str, *, by_grammar: bool) -> Attributes | Failure:
    """Ask for a title's attributes; a bad reply is asked for once more with a larger limit."""
    messages = title_messages(title)
    constraint = grammar_constraint(title_grammar(title)) if by_grammar else schema_constraint()
    result: Attributes | Failure = Failure("not asked")
    for attempt, limit in enumerate((FIRST_LIMIT, SECOND_LIMIT), 1):
        reply = await chat.ask(messages, limit, constraint)
        if isinstance(reply, Failure):
            return reply
        result = parse_title_reply(title, reply, attempt)
        if isinstance(result, Attributes) or result.reason == REPEATED:
            return result
    return result


async def caption_picture(chat: Chat, path: Path, prompt: str) -> Caption | Failure:
    """Ask for a caption; a bad reply is asked for once more with a larger limit."""
    try:
        url = await asyncio.to_thread(data_url, path)
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        return Failure("unreadable picture", f"{path}: {error}")
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": prompt},
    ]
    message: Message = {"role": "user", "content": content}
    result: Caption | Failure = Failure("not asked")
    for limit in CAPTION_LIMITS:
        reply = await chat.ask([message], limit)
        if isinstance(reply, Failure):
            return reply
        result = parse_caption(prompt, reply)
        if isinstance(result, Caption):
            return result
    return result


def data_url(path: Path) -> str:
    """Return a picture as a JPEG data URL, its longest side at most LONGEST_SIDE pixels."""
    buffer = io.BytesIO()
    open_photo(path, LONGEST_SIDE).save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _no_check() -> None:
    """Do nothing: whether somebody else's server has ended only its silence can show."""
