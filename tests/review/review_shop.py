"""A shop file with corrections that were written by hand, for the tests of the review page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pyarrow as pa

from genfilt.common.local_page.page_server import PageServer
from genfilt.review.selection import Selection
from genfilt.review.server import ReviewServer
from genfilt.review.session import ReviewSession
from genfilt.store.store import Store, now
from tests.described_shop import ask, describe
from tests.shop_files import draw

KINDS = ("hoodie", "mug", "kettle", "jacket", "shoe", "lamp")
COLORS = ("red", "blue", "green", "black", "white", "pink")
FIRST_VAL = 30  # the last six products are of val
REASONS = "type: {kind}; colour: {color}, from the picture; type: {kind}, by its clicks"
Pair = tuple[str, str]


def write_shop(db: Path, titles: Sequence[str] = (), queries: Sequence[str] = KINDS) -> Path:
    """Write a shop of 36 products and six queries, each with the products of its kind found.

    Args:
        db: the file.
        titles: of the first products, instead of "Acme red hoodie" and so on.
        queries: their texts.
    """
    with Store(db) as store:
        named = [(color, kind) for kind in KINDS for color in COLORS]
        rows = [
            (f"p{n:02}", f"Acme {color} {kind}", kind, color, f"a {color} {kind}", split(n))
            for n, (color, kind) in enumerate(named)
        ]
        rows[: len(titles)] = [
            (row[0], title, *row[2:]) for row, title in zip(rows, titles, strict=False)
        ]
        describe(store, rows)
        ask(store, [(f"q{n}", text) for n, text in enumerate(queries)])
        for n, (color, _) in enumerate(named[:6]):
            picture = draw(db.parent / "pictures" / f"p{n:02}.png", color)
            store.connection.execute(
                "UPDATE products SET image = ?, category = 'clothes' WHERE product_id = ?",
                [str(picture), f"p{n:02}"],
            )
        store.connection.execute("UPDATE products SET image_key = NULL WHERE image IS NULL")
        write_corrections(store, named)
    return db


def split(n: int) -> str:
    """Return the split of the nth product."""
    return "val" if n >= FIRST_VAL else "train"


def write_corrections(store: Store, named: Sequence[tuple[str, str]]) -> None:
    """Write one filter whose corrections are all products of a query's kind, and their numbers."""
    connection = store.connection
    connection.execute("UPDATE product_no SET f = p")
    connection.execute(
        "INSERT INTO features SELECT p, p, p, title, 'a picture of ' || title, title "
        "FROM products JOIN product_no USING (product_id)"
    )
    connection.execute(
        "INSERT INTO filters VALUES (1, 'calibrated', 0.5, 0.9, 0.4, NULL, NULL, 'e', 'hand', "
        "'hand', 't', ?, true, 6, 36)",
        [now()],
    )
    rows = [
        {
            "query_id": f"q{n // len(COLORS)}",
            "product_id": f"p{n:02}",
            "score": 0.5 + n / 100,
            "reasons": REASONS.format(kind=kind, color=color),
        }
        for n, (color, kind) in enumerate(named)
    ]
    with store.registered("found", pa.Table.from_pylist(rows)):
        connection.execute(
            "INSERT INTO qp_candidates SELECT 1, q, f, 0.6, 0.7, 0.65, score, false, reasons "
            "FROM found JOIN query_no USING (query_id) JOIN product_no USING (product_id)"
        )


def open_session(db: Path, size: int | None = None, **conditions: object) -> ReviewSession:
    """Return a session on the shop with a selection."""
    return ReviewSession(db, size, Selection(**conditions))  # type: ignore[arg-type]


def stored(db: Path) -> dict[tuple[str, str, str], int | None]:
    """Return the verdicts of the table reviews by query, product and reviewer."""
    with Store(db, read_only=True) as store:
        rows = store.rows("SELECT query_id, product_id, reviewer, verdict FROM reviews")
    return {(query, product, reviewer): verdict for query, product, reviewer, verdict in rows}


@contextmanager
def serving(session: ReviewSession, reviewer: str = "") -> Iterator[ReviewServer]:
    """Serve a session in a thread on a free port."""
    server = ReviewServer(session, 0, reviewer)
    with serving_page(server):
        yield server


@contextmanager
def serving_page(server: PageServer) -> Iterator[None]:
    """Serve a page in a thread."""
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(20)


class Visitor:
    """A client that sends what it is given, with a cookie once it has one."""

    def __init__(self, server: PageServer) -> None:
        self.port = server.port
        self.cookie = ""

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """Return the response and its body; a header `host=""` is left out."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)  # a model is loaded
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = {"host": f"127.0.0.1:{self.port}", "cookie": self.cookie}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            if body is not None:
                sent.setdefault("content-length", str(len(body)))
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def answer(self, body: bytes, **headers: str) -> tuple[HTTPResponse, bytes]:
        """Send an answer as the page does."""
        given = {
            "origin": f"http://127.0.0.1:{self.port}",
            "content_type": "application/json",
        } | headers
        return self.ask("/api/answer", "POST", body, **given)

    def enter(self, token: str) -> HTTPResponse:
        """Exchange the token for the cookie."""
        response, _ = self.ask(f"/?token={token}")
        self.cookie = (response.getheader("set-cookie") or "").split(";")[0]
        return response
