"""The client against a peer on loopback that fails in every way that a server can."""

from __future__ import annotations

import json
import threading
import time

import pytest

from genfilt.common.errors import UserError
from genfilt.extract.estimate import estimate
from genfilt.generators.llm.request_window import RequestWindow, RetryPolicy
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.title_request import FIRST_LIMIT, SCHEMA, SECOND_LIMIT
from genfilt.generators.protocols import Attributes, Failure
from tests.generators.llm.chat_peer import (
    MODEL,
    Answer,
    Body,
    ChatPeer,
    attributes,
    completion,
    hang,
    title_of,
)

QUICK = RetryPolicy(attempts=10, silence=60.0, first_pause=0.005, longest_pause=0.05)
BRIEF = RetryPolicy(attempts=1000, silence=0.5, first_pause=0.005, longest_pause=0.05)
TITLES = {f"key{n}": f"Acme {n} jacket" for n in range(300)}


def reader(peer: ChatPeer, *, policy: RetryPolicy = QUICK, timeout: float = 60.0) -> VllmReader:
    return VllmReader(peer.url, policy=policy, timeout=timeout)


def check_all_read(results: list[tuple[str, object]]) -> None:
    assert sorted(key for key, _ in results) == sorted(TITLES)
    for _, result in results:
        assert isinstance(result, Attributes)
        assert result.core_word == "jacket"


def test_each_title_is_read_once_and_by_its_key() -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        titles = {"a": "red coat", "b": "blue hat", "c": "red coat"}
        results = dict(read.read(titles))
        assert {key: found.core_word for key, found in results.items()} == {
            "a": "coat",
            "b": "hat",
            "c": "coat",
        }
        assert read.name == f"vllm:{MODEL}"
        body = peer.bodies[0]
    assert body["temperature"] == 0
    assert body["max_tokens"] == FIRST_LIMIT
    assert "seed" not in body
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["model"] == MODEL


def test_a_third_of_the_requests_answered_with_500_loses_nothing() -> None:
    def behave(number: int, body: Body) -> Answer:
        return (500, {"error": "overworked"}, {}) if number % 3 == 0 else attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        check_all_read(list(read.read(TITLES)))
        assert read.in_flight < 32


def test_garbage_and_broken_connections_are_asked_again() -> None:
    def behave(number: int, body: Body) -> Answer | None:
        kinds = [(200, "<html>proxy</html>", {}), (200, {"choices": []}, {}), None]
        return kinds[number % 9 // 3] if number % 3 == 0 else attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        check_all_read(list(read.read(TITLES)))


def test_a_server_that_asks_to_wait_is_left_alone_for_as_long() -> None:
    times: list[float] = []

    def behave(number: int, body: Body) -> Answer:
        times.append(time.monotonic())
        return (429, {}, {"retry-after": "0.5"}) if number == 1 else attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        ((_, result),) = read.read({"a": "red coat"})
    assert isinstance(result, Attributes)
    assert times[1] - times[0] >= 0.5


def test_a_killed_server_ends_the_run_plainly_and_a_rerun_completes() -> None:
    def behave(number: int, body: Body) -> Answer:
        if number == 150:
            threading.Thread(target=peer.kill).start()
        time.sleep(0.005)
        return attributes(body)

    first: list[tuple[str, Attributes | Failure]] = []
    with ChatPeer(behave) as peer:
        read = reader(peer, policy=BRIEF)
        with pytest.raises(UserError, match=r"No answer for .* run the same command again"):
            first.extend(read.read(TITLES))
    assert 50 < len(first) < len(TITLES)
    left = {key: title for key, title in TITLES.items() if key not in dict(first)}
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        check_all_read([*first, *read.read(left)])


def test_a_server_that_hangs_is_given_up_with_a_plain_message() -> None:
    released = threading.Event()

    def behave(number: int, body: Body) -> Answer:
        if number > 40:
            released.wait(20)
        return attributes(body)

    results = []
    with ChatPeer(behave) as peer:
        read = reader(peer, policy=BRIEF, timeout=0.6)
        with pytest.raises(UserError, match="did not answer in time"):
            results.extend(read.read(TITLES))
        released.set()


def test_one_request_that_hangs_is_a_failure_and_the_rest_goes_on() -> None:
    def behave(number: int, body: Body) -> Answer:
        time.sleep(0.002)
        return hang(2.0) if title_of(body) == "Acme 7 jacket" else attributes(body)

    with ChatPeer(behave) as peer, reader(peer, timeout=0.5) as read:
        slow = {key: TITLES[key] for key in list(TITLES)[:20]}
        results = dict(read.read(slow))
    assert results.pop("key7") == Failure(
        "server could not answer", f"{peer.url}/v1 did not answer in time"
    )
    assert len(results) == 19
    assert all(isinstance(result, Attributes) for result in results.values())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (completion("no json"), "reply is not JSON"),
        (completion('{"core_word": "coat"}'), "reply does not fit the schema"),
        (completion(" "), "empty reply"),
        (completion('{"core', "length"), "reply was cut off"),
        (completion("", "content_filter"), "reply was not finished"),
    ],
)
def test_a_bad_reply_is_asked_for_again_with_a_larger_limit(reply: Answer, reason: str) -> None:
    def mends(number: int, body: Body) -> Answer:
        return reply if body["max_tokens"] == FIRST_LIMIT else attributes(body)

    with ChatPeer(mends) as peer, reader(peer) as read:
        ((_, result),) = read.read({"a": "red coat"})
        assert [body["max_tokens"] for body in peer.bodies] == [FIRST_LIMIT, SECOND_LIMIT]
    assert isinstance(result, Attributes)
    assert json.loads(result.raw)["attempts"] == 2

    with ChatPeer(lambda n, body: reply) as peer, reader(peer) as read:
        ((_, result),) = read.read({"a": "red coat"})
        assert len(peer.bodies) == 2
    assert result == Failure(reason, reply[1]["choices"][0]["message"]["content"])


def test_a_title_that_the_server_refuses_fails_alone() -> None:
    def behave(number: int, body: Body) -> Answer:
        if "very long" in title_of(body):
            return 400, {"error": {"message": "maximum context length"}}, {}
        return attributes(body)

    with ChatPeer(behave) as peer, reader(peer) as read:
        results = dict(read.read({"a": "very long", "b": "red coat"}))
    assert results["a"] == Failure("refused by the server", "400: maximum context length")
    assert isinstance(results["b"], Attributes)


def test_a_server_that_refuses_everything_stops_the_run() -> None:
    refusal = (400, {"error": {"message": "json_schema is not supported"}}, {})
    with (
        ChatPeer(lambda n, body: refusal) as peer,
        reader(peer) as read,
        pytest.raises(UserError, match="json_schema is not supported"),
    ):
        list(read.read(TITLES))


@pytest.mark.parametrize(
    ("status", "words"), [(401, "GENFILT_LLM_API_KEY"), (404, "does not serve peer-model")]
)
def test_a_wrong_key_or_model_stops_the_run_at_once(status: int, words: str) -> None:
    with ChatPeer(lambda n, body: (status, {}, {})) as peer, reader(peer) as read:
        with pytest.raises(UserError, match=words):
            list(read.read(TITLES))
        assert len(peer.bodies) <= 33


def test_the_access_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENFILT_LLM_API_KEY", "s3cret")
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        list(read.read({"a": "red coat"}))
    assert peer.headers[0]["Authorization"] == "Bearer s3cret"


def test_the_window_opens_while_that_pays_and_halves_once_for_one_trouble() -> None:
    window = RequestWindow(size=32)
    window.trouble(0)
    window.trouble(0)
    assert window.size == 16
    window.trouble(window.mark)
    assert window.size == 8
    for _ in range(8):
        window.answered(full=True)
    assert window.size == 9
    for _ in range(100):
        window.answered(full=False)
    assert window.size == 9


def test_more_requests_fly_where_the_server_has_room() -> None:
    def behave(number: int, body: Body) -> Answer:
        time.sleep(0.02)
        return attributes(body)

    titles = {str(n): f"coat {n}" for n in range(200)}
    with ChatPeer(behave) as peer, reader(peer) as read:
        assert len(list(read.read(titles))) == 200
        assert read.in_flight > 32


def test_a_reader_that_is_left_early_stops_asking() -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        stream = read.read({str(n): "coat" for n in range(5000)})
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        asked = len(peer.bodies)
        time.sleep(0.1)
        assert len(peer.bodies) == asked < 5000


def test_no_titles_ask_nothing() -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        assert list(read.read({})) == []
        assert peer.bodies == []


def test_the_addresses_that_cannot_work_are_named() -> None:
    with pytest.raises(UserError, match=r"No model server answers at http://127.0.0.1:9/v1"):
        VllmReader("http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"No model server answers at http://127.0.0.1:9/v1"):
        VllmReader("http://127.0.0.1:9", "some/model")
    with pytest.raises(UserError, match="is no server URL"):
        VllmReader("localhost:8000")
    with ChatPeer(lambda n, body: attributes(body)) as peer:
        peer.models = ["a", "b"]
        with pytest.raises(UserError, match="serves a, b; name one"):
            VllmReader(peer.url)


def test_an_estimate_counts_what_the_sample_took() -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer, reader(peer) as read:
        sample = estimate(read, dict(list(TITLES.items())[:50]))
    assert (sample.items, sample.failed, sample.requests) == (50, 0, 50)
    assert (sample.prompt_tokens, sample.completion_tokens) == (350, 150)
    assert len(sample.results) == 50
    rest = sample.scaled(1000)
    assert (rest.prompt_tokens, rest.completion_tokens) == (7000, 3000)
    assert rest.cost(1.0, 2.0) == pytest.approx(0.013)
