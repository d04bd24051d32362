"""A client of one OpenAI-compatible chat server: what it asks, and what its answers mean."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx

from genfilt.common.errors import UserError
from genfilt.generators.llm.reply import Reply
from genfilt.generators.llm.request_window import BusyError
from genfilt.generators.protocols import Failure

KEY_VARIABLE = "GENFILT_LLM_API_KEY"
REFUSALS = 20  # as many at the start mean that the request, not the item, is refused
_WORDS = 400  # characters of a server's answer that a message repeats


@dataclass
class Usage:
    """What was asked of a model so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, reply: Reply) -> None:
        """Count one reply."""
        self.requests += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens


@dataclass(frozen=True)
class Response:
    """What a server sent back; `retry_after` is its header of that name."""

    status: int
    text: str
    retry_after: str = "0"


class ChatServer:
    """An OpenAI-compatible server and the model that it serves.

    Args:
        url: with or without `/v1`.
        model: the name to ask for; None for the only one served.
        timeout: seconds that one request may take.

    Raises:
        UserError: no server answers there, it refuses our key, or no model is named and it
            serves none or several.
    """

    def __init__(self, url: str, model: str | None = None, *, timeout: float = 300.0) -> None:
        self.url = _base(url)
        self.usage = Usage()
        self._timeout = timeout
        self._refused = 0
        self._accepted = False
        self.model = self._named(model)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Chat]:
        """Open the connections of one run."""
        # A server hangs up after some idle seconds (vLLM: 5); we do so before it can surprise us.
        pool = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=10.0)
        async with aiohttp.ClientSession(
            connector=pool,
            timeout=timeout,
            headers=_headers(),
            trust_env=not _is_loopback(self.url),
        ) as session:
            yield Chat(self, session)

    def read(self, response: Response) -> Reply | Failure:
        """Return what a response holds.

        Raises BusyError where asking again may help, UserError where it cannot for any item. A
        Failure is a refusal of this one item.
        """
        if response.status == HTTPStatus.OK:
            reply = _reply(self.url, response)
            self._accepted = True
            self.usage.add(reply)
            return reply
        words = _words(response.status, response.text)
        if response.status in (408, 425, 429) or response.status >= 500:
            raise BusyError(f"{self.url} answered {words}", _seconds(response.retry_after))
        if response.status in (401, 403):
            raise self._key_refused(words)
        if response.status in (404, 405):
            raise UserError(
                f"{self.url} does not serve {self.model} for chat ({words}); check --llm-url and "
                "--llm-model (or --captioner-url and --captioner-model)."
            )
        self._refused += 1
        if not self._accepted and self._refused >= REFUSALS:
            raise UserError(
                f"{self.url} refused each of the first {REFUSALS} requests ({words}); the server "
                "needs chat, JSON schemas and enough context for the prompt."
            )
        return Failure("refused by the server", words)

    def _named(self, model: str | None) -> str:
        """Return the model to ask for; a server that is not there is noticed now, not in the run.

        With a model given, what the server says of its models does not matter: a gateway may serve
        what it does not list.
        """
        try:
            response = httpx.get(
                f"{self.url}/models",
                timeout=20,
                headers=_headers(),
                trust_env=not _is_loopback(self.url),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UserError(
                f"No model server answers at {self.url} ({error}); start one or check the URL."
            ) from None
        if response.status_code in (401, 403):
            raise self._key_refused(_words(response.status_code, response.text))
        return model if model is not None else self._only_model(response)

    def _only_model(self, response: httpx.Response) -> str:
        try:
            served = [str(card["id"]) for card in response.raise_for_status().json()["data"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.url}/models is no list of models; give the URL of an OpenAI-compatible "
                "server, for example http://127.0.0.1:8000."
            ) from None
        if len(served) != 1:
            raise UserError(
                f"{self.url} serves {', '.join(served) or 'no model'}; name one with --llm-model "
                "(or --captioner-model)."
            )
        return served[0]

    def _key_refused(self, words: str) -> UserError:
        return UserError(
            f"{self.url} refused the access key ({words}); set {KEY_VARIABLE} to a valid one."
        )


class Chat:
    """Open connections to a chat server."""

    def __init__(self, server: ChatServer, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self._endpoint = f"{server.url}/chat/completions"

    async def ask(
        self, content: str | Sequence[Any], max_tokens: int, schema: dict[str, Any] | None = None
    ) -> Reply | Failure:
        """Ask once, as the user, at temperature 0. Raises as `ChatServer.read` does."""
        body = request_body(self._server.model, content, max_tokens, schema)
        try:
            async with self._session.post(self._endpoint, json=body) as answered:
                response = Response(
                    answered.status,
                    (await answered.read()).decode(errors="replace"),
                    answered.headers.get("retry-after", "0"),
                )
        except TimeoutError:
            raise BusyError(f"{self._server.url} did not answer in time", weight=4) from None
        except aiohttp.InvalidURL as error:
            raise UserError(f"{self._server.url} is no URL: {error}.") from None
        except aiohttp.ClientError as error:
            words = str(error) or type(error).__name__
            raise BusyError(f"{self._server.url} cannot be reached ({words})") from None
        return self._server.read(response)


def request_body(
    model: str, content: str | Sequence[Any], max_tokens: int, schema: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the body of a chat request: greedy, one user message, the reply bound to a schema."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    if schema is not None:
        named = {"name": "product", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _reply(url: str, response: Response) -> Reply:
    try:
        answer = json.loads(response.text)
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        return Reply(
            str(choice["message"].get("content") or ""),
            choice.get("finish_reason"),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        words = _words(response.status, response.text)
        raise BusyError(f"{url} answered what is no chat completion: {words}") from None


def _words(status: int, text: str) -> str:
    """Return the status and the gist of a body, on one line."""
    try:
        body = json.loads(text)
        error = body.get("error", body)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return f"{status}: {' '.join(text.split())[:_WORDS]}"


def _seconds(retry_after: str) -> float:
    try:
        return min(120.0, max(0.0, float(retry_after)))
    except ValueError:
        return 0.0


def _headers() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _is_loopback(url: str) -> bool:
    """Whether no proxy may stand between us and the server."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _base(url: str) -> str:
    base = url.rstrip("/")
    if urlsplit(base).scheme not in ("http", "https"):
        raise UserError(f"{url} is no server URL; write it as http://HOST:PORT.")
    return base if base.endswith("/v1") else f"{base}/v1"
