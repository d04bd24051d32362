from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfilt.common.local_page.access import HEADERS
from genfilt.review.server import ReviewServer
from tests.review.review_shop import Visitor, open_session, serving, write_shop

PAGES = ("/", "/api/queue?person=", "/static/review.js", "/picture?product_id=p00", "/none")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    with serving(open_session(write_shop(tmp_path / "t.duckdb"))) as server:
        yield server


def test_the_token_is_exchanged_once_for_a_cookie_and_a_clean_address(
    server: ReviewServer,
) -> None:
    visitor, late = Visitor(server), Visitor(server)
    assert visitor.ask("/?token=wrong")[0].status == 403
    response = visitor.enter(server.app.token)
    assert (response.status, response.getheader("location")) == (303, "/")
    cookie = response.getheader("set-cookie") or ""
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert server.app.token not in cookie
    page, text = visitor.ask("/")
    assert page.status == 200
    assert server.app.token.encode() not in text
    # Again: with the cookie to the clean address, without it nowhere.
    assert visitor.ask(f"/?token={server.app.token}")[0].getheader("location") == "/"
    again = late.enter(server.app.token)
    assert (again.status, again.getheader("set-cookie")) == (403, None)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_the_cookie(server: ReviewServer, path: str) -> None:
    visitor = Visitor(server)
    for cookie in ("", "genfilt_review=x", f"genfilt_review_{server.port}=x", "\xff=\xff"):
        visitor.cookie = cookie
        response, text = visitor.ask(path)
        assert (response.status, text) == (403, b"Open the address that genfilt review printed.")


@pytest.mark.parametrize("path", PAGES)
def test_another_host_name_is_refused_whatever_it_resolves_to(
    server: ReviewServer, path: str
) -> None:
    visitor = Visitor(server)
    visitor.enter(server.app.token)
    port = server.port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1:{port}.evil.example",
        f"evil.example@127.0.0.1:{port}",
        f"127.0.0.1:{port}/",
        "",
    ):
        response, _ = visitor.ask(path, host=host)
        assert response.status == 400, host
        assert "location" not in {name.lower() for name, _ in response.getheaders()}
    assert visitor.ask("/?token=" + server.app.token, host=f"evil.example:{port}")[0].status == 400


def test_an_answer_from_another_page_is_refused(server: ReviewServer) -> None:
    visitor = Visitor(server)
    visitor.enter(server.app.token)
    body = b'{"query_id": "q0", "product_id": "p00", "verdict": 1, "reviewer": ""}'
    own = f"http://127.0.0.1:{server.port}"
    for headers in (
        {"origin": ""},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": f"http://127.0.0.1:{server.port + 1}"},
        {"origin": f"https://127.0.0.1:{server.port}"},
        {"origin": f"{own}.evil.example"},
        {"origin": "http://["},
        {"origin": own, "content_type": "text/plain"},
        {"origin": own, "content_type": "application/jsonp"},
        {"origin": own, "content_type": "application/x-www-form-urlencoded"},
        {"origin": own, "content_type": ""},
    ):
        response, _ = visitor.answer(body, **headers)
        assert response.status == 403, headers
    assert visitor.answer(body)[0].status == 200
    assert visitor.answer(body, content_type="application/json; charset=utf-8")[0].status == 200
    stranger = Visitor(server)
    assert stranger.answer(body)[0].status == 403


def test_every_response_forbids_inline_scripts_and_frames(server: ReviewServer) -> None:
    visitor = Visitor(server)
    responses = [visitor.ask("/")[0], visitor.ask("/", host="evil.example")[0]]
    visitor.enter(server.app.token)
    paths = ["/", "/none", "/static/none", "/static/page.css", "/api/queue", "/api/card"]
    responses += [visitor.ask(path)[0] for path in [*paths, "/picture?product_id=p00"]]
    responses.append(visitor.ask("/api/answer")[0])
    assert sorted({response.status for response in responses}) == [200, 400, 403, 404, 405]
    for response in responses:
        for name, value in HEADERS.items():
            assert response.getheader(name) == value, response.status
        assert response.getheader("server") is None
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    _, page = visitor.ask("/")
    assert page.count(b"<script") == 2
    for script in (b"review.js", b"page.js"):
        assert b'<script src="/static/' + script + b'" defer></script>' in page
    assert b"<style" not in page
    assert not re.search(rb"<[^>]+\son\w+\s*=", page)


def test_a_slash_too_many_leads_nowhere(server: ReviewServer) -> None:
    visitor = Visitor(server)
    visitor.enter(server.app.token)
    for path in ("/api/queue/", "//evil.example/", "/static/"):
        response, _ = visitor.ask(path)
        assert (response.status, response.getheader("location")) == (404, None)
