"""Servers that redirect, never end, drip or answer with hostile JSON."""

from __future__ import annotations

import json
import time

import pytest

from genfilt.common.errors import UserError
from genfilt.generators.llm import bounded_http
from genfilt.generators.llm.request_window import RetryPolicy
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.protocols import Attributes, Failure
from tests.generators.llm.chat_peer import Answer, Body, ChatPeer, Stream, attributes, title_of

QUICK = RetryPolicy(attempts=10, silence=60.0, first_pause=0.005, longest_pause=0.05)


def reader(peer: ChatPeer) -> VllmReader:
    return VllmReader(peer.url, policy=QUICK)


REDIRECT = (307, {}, {"location": "http://198.51.100.7/steal"})


@pytest.mark.parametrize("moved", ["models", "chat"])
def test_a_redirect_is_named_and_not_followed(moved: str) -> None:
    with ChatPeer(lambda n, body: REDIRECT) as peer:
        peer.listing = REDIRECT if moved == "models" else None
        with pytest.raises(UserError, match=r"redirects to http://198.51.100.7/steal.*--llm-url"):
            list(reader(peer).read({"a": "red coat"}))


def test_a_reply_without_end_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "MAX_BODY_BYTES", 1 << 20)

    def behave(number: int, body: Body) -> Answer:
        return (200, Stream(b"x" * 65536), {}) if title_of(body) == "endless" else attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        results = dict(read.read({"a": "endless", "b": "red coat"}))
    assert results["a"] == Failure(
        "reply is too large", f"more than 1 MB from {peer.url}/v1/chat/completions"
    )
    assert isinstance(results["b"], Attributes)


def test_a_reply_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "BODY_SECONDS", 0.3)

    def behave(number: int, body: Body) -> Answer:
        drip = Stream(b" ", pause=0.05)
        return (200, drip, {}) if title_of(body) == "drips" else attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        started = time.monotonic()
        results = dict(read.read({"a": "drips", "b": "red coat"}))
    assert time.monotonic() - started < 10
    assert results["a"] == Failure(
        "server could not answer", f"{peer.url}/v1 did not answer in time"
    )
    assert isinstance(results["b"], Attributes)


def test_a_list_of_models_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "MAX_BODY_BYTES", 1 << 20)
    monkeypatch.setattr(bounded_http, "BODY_SECONDS", 0.3)
    for stream in (Stream(b"x" * 65536), Stream(b" ", pause=0.05)):
        with ChatPeer(lambda n, body: attributes(body)) as peer:
            peer.listing = (200, stream, {})
            with pytest.raises(UserError, match="No model server answers"):
                reader(peer)


HOSTILE = [
    "[" * 100_000,
    '{"choices": [{"message": {"content": "x"}, "finish_reason": {}}], "usage": {"a": 1e999}}',
    '{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}',
    '{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "stop"}]}',
    '{"choices": {"0": 1}}',
    '{"usage": 1e999}',
    "null",
    "1e999",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_answer_is_a_failure_of_its_item(body: str) -> None:
    def behave(number: int, asked: Body) -> Answer:
        return (200, body, {}) if title_of(asked) == "hostile" else attributes(asked)

    with ChatPeer(behave) as peer, reader(peer) as read:
        results = dict(read.read({"a": "hostile", "b": "red coat"}))
    assert isinstance(results["a"], Failure)
    assert isinstance(results["b"], Attributes)


@pytest.mark.parametrize(
    "count", ["1e999", "-5", '"many"', "[]", "NaN", "9" * 400, "true and false"]
)
def test_a_count_of_tokens_that_is_none_costs_no_result(count: str) -> None:
    def behave(number: int, body: Body) -> Answer:
        status, answer, headers = attributes(body)
        answer.pop("usage")
        text = json.dumps(answer)[:-1] + f', "usage": {{"prompt_tokens": {count}}}}}'
        return status, text, headers

    with ChatPeer(behave) as peer, reader(peer) as read:
        ((_, result),) = read.read({"a": "red coat"})
    if count == "true and false":  # no JSON at all
        assert isinstance(result, Failure)
    else:
        assert isinstance(result, Attributes)
    assert read.usage.prompt_tokens == 0


@pytest.mark.parametrize(
    "listing",
    [
        "[" * 100_000,
        '{"data": 1e999}',
        '{"data": [{"id": "\\ud800"}]}',
        '{"data": [{"id": {"a": 1}}]}',
        '{"data": [["id"]]}',
        '{"data": null}',
        "null",
        "",
    ],
)
def test_a_hostile_list_of_models_is_a_plain_error(listing: str) -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer:
        peer.listing = (200, listing, {})
        with pytest.raises(UserError, match="is no list of models"):
            reader(peer)
