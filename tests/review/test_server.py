from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from genfilt.common.errors import UserError
from genfilt.common.local_page.page_server import MAX_BODY
from genfilt.review.server import ReviewServer
from genfilt.store.store import Store
from tests.review.review_shop import Visitor, open_session, serving, stored, write_shop

ANSWER = {"query_id": "q0", "product_id": "p00", "verdict": 1, "reviewer": "ann"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb")


@pytest.fixture
def visitor(db: Path) -> Iterator[Visitor]:
    """A visitor with the cookie."""
    with serving(open_session(db)) as server:
        visitor = Visitor(server)
        visitor.enter(server.app.token)
        yield visitor


def test_the_page_gets_pairs_cards_and_pictures(visitor: Visitor) -> None:
    response, body = visitor.ask("/api/queue?person=ann")
    assert response.status == 200
    given = json.loads(body)
    assert len(given["items"]) == 30
    assert given["progress"]["drawn"] == 30
    response, body = visitor.ask("/api/card?query_id=q0&product_id=p01")
    card = json.loads(body)
    assert (card["query"], card["title"]) == ("hoodie", "Acme blue hoodie")
    response, body = visitor.ask("/picture?product_id=p01")
    assert response.getheader("content-type") == "image/jpeg"
    with Image.open(BytesIO(body)) as picture:
        assert picture.size == (64, 64)
    response, body = visitor.ask("/static/page.css")
    assert response.getheader("content-type") == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static/%2e%2e%2fserver.py",
        "/static/..%5cserver.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/review.js%00.css",
        "/static/review.js/",
        "/../../../../etc/passwd",
        "/etc/passwd",
        "/genfilt/review/server.py",
        "/templates/review.html.jinja",
    ],
)
def test_a_path_leads_to_no_other_file(visitor: Visitor, path: str) -> None:
    response, body = visitor.ask(path)
    assert response.status == 404, body
    assert b"root:" not in body
    assert b"uvicorn" not in body


def test_only_pictures_of_products_are_sent_and_only_as_pictures(
    db: Path, tmp_path: Path, visitor: Visitor
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files = (str(secret), "/etc/passwd", str(pipe), "/dev/zero", str(tmp_path), "http://x.example/")
    with Store(db) as store:
        for n, path in enumerate(files, 10):
            store.connection.execute(
                "UPDATE products SET image = ?, image_key = 'k' WHERE product_id = ?",
                [path, f"p{n}"],
            )
    own = str(tmp_path / "pictures" / "p00.png")
    for product_id in (
        own,
        quote(own, safe=""),
        "../p00",
        "p00%00",
        "p00%27%20OR%201=1--",
        "",
        "p06",  # no picture
        *(f"p{n}" for n in range(10, 10 + len(files))),
    ):
        response, body = visitor.ask(f"/picture?product_id={product_id}")
        assert (response.status, body) == (404, b"There is no picture that can be shown.")
    assert visitor.ask("/picture?product_id=p00")[0].status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b'{"verdict": ' + b"9" * 10_000 + b"}",
        json.dumps({}).encode(),
        *(
            json.dumps(ANSWER | {name: value}).encode()
            for name, value in (
                ("verdict", 2),
                ("verdict", -1),
                ("verdict", True),
                ("verdict", 1.0),
                ("verdict", "1"),
                ("verdict", [1]),
                ("verdict", float("nan")),
                ("query_id", None),
                ("query_id", 1),
                ("query_id", ["q0"]),
                ("query_id", {"a": 1}),
                ("query_id", "\ud800"),
                ("query_id", "q0\x00"),
                ("query_id", "none"),
                ("product_id", "p99"),
                ("product_id", "' OR 1=1 --"),
                ("reviewer", None),
                ("reviewer", "\udfff"),
                ("reviewer", "a" * 81),
                ("note", 1),
                ("note", "\ud800"),
                ("note", "a" * 2001),
            )
        ),
        *(json.dumps({k: v for k, v in ANSWER.items() if k != name}).encode() for name in ANSWER),
        json.dumps(ANSWER | {"note": "a" * MAX_BODY}).encode(),
    ],
)
def test_what_is_no_answer_is_refused_in_a_sentence(
    db: Path, visitor: Visitor, body: bytes
) -> None:
    response, text = visitor.answer(body)
    assert response.status == 400, text
    assert set(json.loads(text)) == {"error"}
    assert stored(db) == {}
    assert not list(db.parent.glob("*.jsonl"))


def test_an_endless_answer_is_cut_off(db: Path, visitor: Visitor) -> None:
    with socket.create_connection(("127.0.0.1", visitor.port), 20) as connection:
        head = (
            f"POST /api/answer HTTP/1.1\r\nhost: 127.0.0.1:{visitor.port}\r\n"
            f"cookie: {visitor.cookie}\r\norigin: http://127.0.0.1:{visitor.port}\r\n"
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        for _ in range(2 * MAX_BODY // 0x1000):
            connection.sendall(chunk)
        assert b"400" in connection.recv(4096).split(b"\r\n")[0]


def test_texts_of_an_answer_come_back_as_they_were(db: Path, visitor: Visitor) -> None:
    note = "=1+1 \u2028 <b> ' \" \u202e \U0001f9e5 \x85"
    response, body = visitor.answer(json.dumps(ANSWER | {"note": note}).encode())
    assert (response.status, json.loads(body)) == (200, {"written": True})
    with Store(db, read_only=True) as store:
        assert store.rows("SELECT verdict, reviewer, note FROM reviews") == [(1, "ann", note)]


@pytest.mark.parametrize(
    "query", ["", "query_id=q0", "query_id=q0&product_id=none", "query_id=%ed%a0%80&product_id=%00"]
)
def test_an_unknown_pair_has_no_card(visitor: Visitor, query: str) -> None:
    response, body = visitor.ask(f"/api/card?{query}")
    assert response.status == 400
    assert "The database has no query" in json.loads(body)["error"]


def test_any_pair_is_explained(db: Path) -> None:
    with Store(db) as store:
        store.connection.execute("UPDATE filters SET embedder = 'all-MiniLM-L6-v2', rule = 'paper'")
    with serving(open_session(db)) as server:
        visitor = Visitor(server)
        assert visitor.ask("/api/explain?query=q0&product=p00")[0].status == 403
        visitor.enter(server.app.token)
        for product in ("p01", "Acme%20blue%20hoodie"):
            _, body = visitor.ask(f"/api/explain?query=hoodie&product={product}")
            found = json.loads(body)
            assert (found["query"], found["title"]) == ("hoodie", "Acme blue hoodie")
            assert found["why"]
        _, body = visitor.ask("/api/explain?query=q0&product=p01")
        found = json.loads(body)
        assert "kind of product: hoodie (in the title)" in found["reasons"]
        assert found["rank"] is not None
        _, body = visitor.ask("/api/explain?query=sofa%20%3Cb%3E&product=p12")
        assert "No correction" in json.loads(body)["why"]
        for query in ("", "query=&product=", f"query={'a' * 2001}&product=p00"):
            response, body = visitor.ask(f"/api/explain?{query}")
            assert (response.status, set(json.loads(body))) == (400, {"error"})


def test_a_port_that_is_taken_is_named(db: Path) -> None:
    session = open_session(db)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} cannot be used .*give another --port"):
            ReviewServer(session, port)


def test_the_page_can_be_opened_before_the_server_runs(db: Path) -> None:
    server = ReviewServer(open_session(db), 0)
    with socket.create_connection(("127.0.0.1", server.port), 5):
        pass
    server._socket.close()
