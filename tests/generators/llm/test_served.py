"""Readers and captioners of served models: grammars, several servers, pictures."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from genfilt.generators.llm.request_window import RetryPolicy
from genfilt.generators.llm.served import VllmCaptioner, VllmReader
from genfilt.generators.llm.title_request import title_grammar
from genfilt.generators.prompts import render
from genfilt.generators.protocols import FIELDS, Attributes, Caption, Failure
from tests.generators.llm.chat_peer import Answer, Body, ChatPeer, attributes, completion

QUICK = RetryPolicy(attempts=10, silence=60.0, first_pause=0.005, longest_pause=0.05)
TITLES = {f"key{n}": f"Acme {n} jacket" for n in range(300)}


def reader(peer: ChatPeer) -> VllmReader:
    return VllmReader(peer.url, policy=QUICK)


def check_all_read(results: list[tuple[str, object]]) -> None:
    assert sorted(key for key, _ in results) == sorted(TITLES)
    for _, result in results:
        assert isinstance(result, Attributes)
        assert result.core_word == "jacket"


def test_a_server_that_follows_grammars_gets_one_for_each_title() -> None:
    with ChatPeer(lambda n, body: attributes(body)) as peer:
        peer.grammars = True
        with reader(peer) as read:
            results = dict(read.read({"a": "red coat"}))
        (body,) = peer.bodies
    assert isinstance(results["a"], Attributes)
    assert body["structured_outputs"] == {"grammar": title_grammar("red coat")}
    assert "response_format" not in body


def test_fields_outside_the_title_are_dropped_whatever_the_server_promises() -> None:
    def behave(number: int, body: Body) -> Answer:
        fields = {**dict.fromkeys(FIELDS), "core_word": "coat", "brand": "Acme"}
        return completion(json.dumps(fields))

    for grammars in (True, False):
        with ChatPeer(behave) as peer:
            peer.grammars = grammars
            with reader(peer) as read:
                ((_, result),) = read.read({"a": "red coat"})
        assert isinstance(result, Attributes)
        assert (result.core_word, result.brand) == ("coat", None)
        assert json.loads(result.raw)["dropped"] == ["brand"]


def test_several_servers_share_the_titles() -> None:
    def behave(number: int, body: Body) -> Answer:
        time.sleep(0.005)
        return attributes(body)

    with ChatPeer(behave) as one, ChatPeer(behave) as two:
        with VllmReader([one.url, two.url], policy=QUICK) as read:
            check_all_read(list(read.read(TITLES)))
            assert read.usage.requests == len(TITLES)
        assert min(len(one.bodies), len(two.bodies)) > 50


def test_a_dead_server_is_dropped_and_its_titles_are_asked_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def behave(number: int, body: Body) -> Answer:
        time.sleep(0.03)
        return attributes(body)

    def dies(number: int, body: Body) -> Answer:
        if number == 40:
            threading.Thread(target=dead.kill).start()
        return behave(number, body)

    policy = RetryPolicy(others_silence=0.05, first_pause=0.005, longest_pause=0.05, attempts=1000)
    with ChatPeer(dies) as dead, ChatPeer(behave) as alive:
        with VllmReader([dead.url, alive.url], policy=policy) as read:
            check_all_read(list(read.read(TITLES)))
        assert len(alive.bodies) > 200
    assert f"{dead.url}/v1 is dropped" in capsys.readouterr().err


def test_a_server_that_refuses_the_key_is_dropped_too(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        ChatPeer(lambda n, body: (401, {}, {})) as closed,
        ChatPeer(lambda n, body: attributes(body)) as opened,
        VllmReader([closed.url, opened.url], policy=QUICK) as read,
    ):
        check_all_read(list(read.read(TITLES)))
    assert "GENFILT_LLM_API_KEY" in capsys.readouterr().err


def test_a_picture_travels_as_a_data_url(tmp_path: Path) -> None:
    Image.new("RGBA", (900, 30), (255, 0, 0, 255)).save(tmp_path / "wide.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    pictures = {"w": tmp_path / "wide.png", "b": tmp_path / "broken.jpg"}
    with ChatPeer(lambda n, body: completion("A red bar.")) as peer, VllmCaptioner(peer.url) as see:
        results = dict(see.describe(pictures))
        picture, text = peer.bodies[0]["messages"][0]["content"]
    assert results["w"] == Caption("A red bar.", raw="A red bar.")
    assert isinstance(results["b"], Failure)
    assert results["b"].reason == "unreadable picture"
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert text["text"] == render("image_caption")
    assert "response_format" not in peer.bodies[0]


def test_a_caption_that_echoes_the_prompt_is_a_failure(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    def behave(number: int, body: Body) -> Answer:
        return completion(body["messages"][0]["content"][1]["text"].upper())

    with ChatPeer(behave) as peer, VllmCaptioner(peer.url) as see:
        ((_, result),) = see.describe({"a": tmp_path / "a.png"})
        assert len(peer.bodies) == 2
    assert isinstance(result, Failure)
    assert result.reason == "reply repeats the prompt"
