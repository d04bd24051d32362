"""The review page's server on 127.0.0.1: one token, one cookie, and the files that it names."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from genfilt.common.errors import LockedError, UserError
from genfilt.common.html import render
from genfilt.common.photos import open_photo
from genfilt.review.session import ReviewSession

HOST = "127.0.0.1"
PICTURE_SIDE = 720  # pixels of the longest side that is sent
MAX_BODY = 64 * 1024  # bytes of an answer
STATIC = {"review.js": "text/javascript", "review.css": "text/css"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[Request], Awaitable[Response]]


class ReviewServer:
    """The page, its data and its pictures, for whoever has this start's token.

    The token is exchanged once for an HttpOnly cookie. Every other request must have the cookie and
    name this server as its host (against DNS rebinding); writing ones must come from this page
    (against cross-site request forgery).

    Args:
        session: what is reviewed.
        port: on 127.0.0.1.
        reviewer: the name that the page begins with.
    """

    def __init__(self, session: ReviewSession, port: int, reviewer: str = "") -> None:
        self.session, self.port, self.reviewer = session, port, reviewer
        self.token = secrets.token_urlsafe(32)
        self._token_used = False
        self._cookie = f"genfilt_review_{port}", secrets.token_urlsafe(32)
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/static/{name}", self._guarded(self._static)),
                Route("/api/queue", self._guarded(self._queue)),
                Route("/api/card", self._guarded(self._card)),
                Route("/api/answer", self._guarded(self._answer), methods=["POST"]),
                Route("/picture", self._guarded(self._picture)),
            ]
        )

    @property
    def address(self) -> str:
        """Return the address that opens the page, with this start's token."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def serve(self) -> None:
        """Serve until interrupted."""
        config = uvicorn.Config(
            self.app, host=HOST, port=self.port, log_level="error", access_log=False
        )
        uvicorn.Server(config).run()

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            try:
                response = await handler(request)
            except LockedError:
                text = "Another command has the database; the page tries again."
                response = JSONResponse({"error": text, "locked": True}, 503)
            except UserError as error:
                response = JSONResponse({"error": str(error)}, 400)
            response.headers.update(HEADERS)
            return response

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_own_host(request):
            return _plain("This server answers to 127.0.0.1 only.", 400)
        if not self._has_cookie(request):
            return _plain("Open the address that genfilt review printed.", 403)
        if request.method != "GET" and not self._is_own_page(request):
            return _plain("Answers are taken from the review page only.", 403)
        return None

    def _is_own_host(self, request: Request) -> bool:
        hosts = request.headers.getlist("host")
        return len(hosts) == 1 and hosts[0] in (f"{HOST}:{self.port}", f"localhost:{self.port}")

    def _has_cookie(self, request: Request) -> bool:
        name, value = self._cookie
        return secrets.compare_digest(request.cookies.get(name, "").encode(), value.encode())

    def _is_own_page(self, request: Request) -> bool:
        origin = urlsplit(request.headers.get("origin", ""))
        json_body = request.headers.get("content-type", "").startswith("application/json")
        return json_body and origin.scheme == "http" and origin.netloc == request.headers["host"]

    async def _page(self, request: Request) -> Response:
        if not self._is_own_host(request):
            return _plain("This server answers to 127.0.0.1 only.", 400)
        if "token" in request.query_params:
            return self._exchange(request)
        if not self._has_cookie(request):
            return _plain("Open the address that genfilt review printed.", 403)
        values = {
            "heading": self.session.title,
            "reviewer": self.reviewer,
            "script": None,
            "style": None,
            "data": None,
            "policy": None,
        }
        text = render("genfilt.review", "review.html.jinja", values)
        return Response(text, media_type="text/html", headers=HEADERS)

    def _exchange(self, request: Request) -> Response:
        """Give the cookie for the token, once."""
        given = request.query_params["token"].encode()
        right = secrets.compare_digest(given, self.token.encode())
        if right and not self._token_used:
            self._token_used = True
            response = RedirectResponse("/", 303, HEADERS)
            name, value = self._cookie
            response.set_cookie(name, value, httponly=True, samesite="strict")
            return response
        if self._has_cookie(request):
            return RedirectResponse("/", 303, HEADERS)
        return _plain("This address was used already; run genfilt review again for a new one.", 403)

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return _plain("There is no such file.", 404)
        text = (files("genfilt.review") / "static" / name).read_text("utf-8")
        return Response(text, media_type=STATIC[name])

    async def _queue(self, request: Request) -> Response:
        reviewer = request.query_params.get("reviewer", "")
        items, progress = await run_in_threadpool(self.session.queue, reviewer)
        return JSONResponse({"items": [asdict(i) for i in items], "progress": asdict(progress)})

    async def _card(self, request: Request) -> Response:
        names = [request.query_params.get(name, "") for name in ("query_id", "product_id")]
        return JSONResponse(asdict(await run_in_threadpool(self.session.card, *names)))

    async def _answer(self, request: Request) -> Response:
        given = await _json_object(request)
        texts = [given.get(name) for name in ("query_id", "product_id", "reviewer")]
        verdict, note = given.get("verdict"), given.get("note")
        if not all(isinstance(text, str) for text in texts) or not isinstance(note, str | None):
            raise UserError("An answer needs query_id, product_id, reviewer and verdict.")
        query_id, product_id, reviewer = map(str, texts)
        if not isinstance(verdict, int | None):
            raise UserError(f"The verdict must be 1, 0 or null, got {verdict!r}.")
        written = await run_in_threadpool(
            self.session.answer, query_id, product_id, verdict, reviewer, note
        )
        return JSONResponse({"written": written})

    async def _picture(self, request: Request) -> Response:
        product_id = request.query_params.get("product_id", "")
        path = await run_in_threadpool(self.session.picture, product_id)
        content = None if path is None else await run_in_threadpool(_jpeg, path)
        if content is None:
            return _plain("There is no picture that can be shown.", 404)
        return Response(content, media_type="image/jpeg")


async def _json_object(request: Request) -> dict[str, object]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise UserError(f"An answer has at most {MAX_BODY:,} bytes.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError("An answer must be a JSON object.") from error
    if not isinstance(given, dict):
        raise UserError("An answer must be a JSON object.")
    return given


def _jpeg(path: str) -> bytes | None:
    """Return a picture encoded anew, so that no bytes of the file reach the browser."""
    try:
        picture = open_photo(Path(path), PICTURE_SIDE)
        content = BytesIO()
        picture.save(content, "JPEG", quality=82)
    except Exception:  # Pillow's readers raise whatever a broken file leads to
        return None
    return content.getvalue()


def free_port(port: int) -> int:
    """Return the port if it is free on 127.0.0.1; for 0, one that the system finds.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"Port {port} cannot be used ({error.strerror}); give another --port."
            ) from error
        return int(probe.getsockname()[1])


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, HEADERS)
