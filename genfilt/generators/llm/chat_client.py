"""A client of one OpenAI-compatible chat server: its requests and the meaning of its answers.

aiohttp is used directly: it lets redirects be refused and bytes and total time be limited below
the parser. openai's AsyncOpenAI over aiohttp reads each body whole before a caller can limit it,
and benchmarks/chat_clients.py measures it at a tenth of this client's rate.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from genfilt.common.errors import UserError
from genfilt.generators.llm.bounded_http import (
    EndlessReplyError,
    Response,
    exchange,
    run_in_thread,
)
from genfilt.generators.llm.chat_answers import (
    chat_reply,
    model_names,
    refuse_redirect,
    seconds_to_wait,
    summary,
)
from genfilt.generators.llm.reply import Reply
from genfilt.generators.llm.request_window import BusyError
from genfilt.generators.llm.title_request import PROBE, PROBE_ANSWER, Message, grammar_constraint
from genfilt.generators.protocols import Failure

KEY_VARIABLE = "GENFILT_LLM_API_KEY"
REFUSALS = 20  # as many at the start mean that the request, not the item, is refused
MODELS_SECONDS = 20.0  # for the list of models
PROBE_SECONDS = 120.0  # for the first completion, for which a server may still compile
PROBE_TOKENS = 48  # more than the probe's one sentence has in any tokenizer


@dataclass
class Usage:
    """The requests to a model so far and their tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, reply: Reply) -> None:
        """Count one reply."""
        self.requests += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens


class ChatServer:
    """An OpenAI-compatible server and the model that it serves.

    Args:
        url: with or without `/v1`.
        model: the name to ask for; None for the only one served.
        timeout: seconds that one request may take.

    Raises:
        UserError: no server answers there, it refuses the access key, or no model is named and it
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
        async with _session(self.url, self._timeout) as session:
            yield Chat(self, session)

    def follows_grammars(self) -> bool:
        """Probe whether the server binds replies to a grammar.

        Servers ignore fields that they do not know and answer with 200, so a grammar is sent whose
        only sentence no model would write by itself, and the answer decides.
        """

        async def probe() -> Response:
            async with _session(self.url, PROBE_SECONDS) as session:
                constraint = grammar_constraint(PROBE)
                content: Message = {"role": "user", "content": "Hello"}
                body = request_body(self.model, [content], PROBE_TOKENS, constraint)
                return await exchange(session, "POST", f"{self.url}/chat/completions", body)

        try:
            response = run_in_thread(probe())
            return (
                response.status == HTTPStatus.OK
                and chat_reply(self.url, response).text.strip() == PROBE_ANSWER
            )
        except (BusyError, EndlessReplyError, aiohttp.ClientError, TimeoutError):
            return False

    def interpret(self, response: Response) -> Reply | Failure:
        """Return the reply in a response.

        Raises BusyError where asking again may help, UserError where it cannot for any item. A
        Failure is a refusal of this one item.
        """
        if response.status == HTTPStatus.OK:
            reply = chat_reply(self.url, response)
            self._accepted = True
            self.usage.add(reply)
            return reply
        refuse_redirect(self.url, response)
        reason = summary(response)
        if response.status in (408, 425, 429) or response.status >= 500:
            raise BusyError(f"{self.url} answered {reason}", seconds_to_wait(response.retry_after))
        if response.status in (401, 403):
            raise self._key_refused(reason)
        if response.status in (404, 405):
            raise UserError(
                f"{self.url} does not serve {self.model} for chat ({reason}); check --llm-url and "
                "--llm-model (or --captioner-url and --captioner-model)."
            )
        self._refused += 1
        if not self._accepted and self._refused >= REFUSALS:
            raise UserError(
                f"{self.url} refused each of the first {REFUSALS} requests ({reason}); the server "
                "needs chat, JSON schemas and enough context for the prompt."
            )
        return Failure("refused by the server", reason)

    def _named(self, model: str | None) -> str:
        """Return the model to ask for; a missing server is noticed now, not in the run.

        With a model given, the server's list of models does not matter: a gateway may serve what it
        does not list.
        """

        async def ask() -> Response:
            async with _session(self.url, MODELS_SECONDS) as session:
                return await exchange(session, "GET", f"{self.url}/models")

        try:
            response = run_in_thread(ask())
        except (aiohttp.ClientError, EndlessReplyError, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer in {MODELS_SECONDS:.0f} s"
            raise UserError(
                f"No model server answers at {self.url} ({reason}); start one or check the URL."
            ) from None
        if response.status in (401, 403):
            raise self._key_refused(summary(response))
        if model is not None:
            return model
        refuse_redirect(self.url, response)
        return self._only_model(response)

    def _only_model(self, response: Response) -> str:
        served = model_names(response)
        if served is None:
            raise UserError(
                f"{self.url}/models is no list of models; give the URL of an OpenAI-compatible "
                "server, for example http://127.0.0.1:8000."
            )
        if len(served) != 1:
            raise UserError(
                f"{self.url} serves {', '.join(served) or 'no model'}; name one with --llm-model "
                "(or --captioner-model)."
            )
        return served[0]

    def _key_refused(self, reason: str) -> UserError:
        return UserError(
            f"{self.url} refused the access key ({reason}); set {KEY_VARIABLE} to a valid one."
        )


class Chat:
    """Open connections to a chat server."""

    def __init__(self, server: ChatServer, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self._endpoint = f"{server.url}/chat/completions"

    async def ask(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        constraint: Mapping[str, object] | None = None,
    ) -> Reply | Failure:
        """Ask once at temperature 0. Raises as `ChatServer.interpret` does."""
        body = request_body(self._server.model, messages, max_tokens, constraint)
        url = self._server.url
        try:
            response = await exchange(self._session, "POST", self._endpoint, body)
        except EndlessReplyError as error:
            return Failure("reply is too large", str(error))
        except TimeoutError:
            raise BusyError(f"{url} did not answer in time", weight=4) from None
        except aiohttp.InvalidURL as error:
            raise UserError(f"{url} is no URL: {error}.") from None
        except aiohttp.ClientError as error:
            reason = str(error) or type(error).__name__
            raise BusyError(f"{url} cannot be reached ({reason})") from None
        return self._server.interpret(response)


def request_body(
    model: str,
    messages: Sequence[Message],
    max_tokens: int,
    constraint: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the body of a chat request: greedy, the reply bound by the constraint's fields."""
    return {
        "model": model,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": max_tokens,
        **(constraint or {}),
    }


def _session(url: str, seconds: float) -> aiohttp.ClientSession:
    # A server hangs up after some idle seconds (vLLM: 5); we do so before it can surprise us.
    pool = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    key = os.environ.get(KEY_VARIABLE)
    return aiohttp.ClientSession(
        connector=pool,
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=10.0),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        trust_env=urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"),
        auto_decompress=False,
    )


def _base(url: str) -> str:
    base = url.rstrip("/")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{url} is no server URL; write it as http://HOST:PORT.")
    return base if base.endswith("/v1") else f"{base}/v1"
