"""The review page's server on 127.0.0.1: the page, its data, its pictures and the answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from threading import Semaphore

import duckdb
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from genfilt.common.errors import LockedError, UserError
from genfilt.common.html import plain, render
from genfilt.common.photos import open_photo
from genfilt.inspect.wording import reasons_in_words
from genfilt.review.access import HOST, ReviewAccess
from genfilt.review.session import ReviewSession

PICTURE_SIDE = 720  # pixels of the longest side that is sent
PICTURES_AT_A_TIME = 2  # a decoded picture may need 160 MB
MAX_TEXT = 2000  # characters of a text to explain
MAX_BODY = 64 * 1024  # bytes of an answer
SHUTDOWN_SECONDS = 3  # for requests that are still answered when the server ends
STATIC = {"review.js": "text/javascript", "review.css": "text/css"}
ANSWER_FIELDS = {"query_id", "product_id", "verdict", "reviewer"}

Handler = Callable[[Request], Awaitable[Response]]


class ReviewServer:
    """The page for whoever has this start's token, which `ReviewAccess` checks.

    Args:
        session: what is reviewed.
        port: on 127.0.0.1; 0 finds a free one.
        reviewer: the name that the page begins with.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, session: ReviewSession, port: int, reviewer: str = "") -> None:
        self.session, self.reviewer = session, reviewer
        self._decoding = Semaphore(PICTURES_AT_A_TIME)
        # From here on connections wait, so that a browser may be opened before `serve` runs.
        self._socket = _listening(port)
        self.port = int(self._socket.getsockname()[1])
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._static),
            Route("/api/queue", _plainly(self._queue)),
            Route("/api/card", _plainly(self._card)),
            Route("/api/explain", _plainly(self._explain)),
            Route("/api/answer", _plainly(self._answer), methods=["POST"]),
            Route("/picture", _plainly(self._picture)),
        ]
        application = Starlette(routes=routes)
        # A redirect would repeat what the request calls itself.
        application.router.redirect_slashes = False
        self.app = ReviewAccess(application, self.port)
        config = uvicorn.Config(
            self.app,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        self._uvicorn = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """Return the address that opens the page, with this start's token."""
        return f"http://{HOST}:{self.port}/?token={self.app.token}"

    def serve(self) -> None:
        """Serve until interrupted or stopped."""
        self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._uvicorn.should_exit = True

    async def _page(self, request: Request) -> Response:
        values = {
            "heading": self.session.title,
            "reviewer": self.reviewer,
            "script": None,
            "style": None,
            "data": None,
            "policy": None,
        }
        text = render("genfilt.review", "review.html.jinja", values)
        return Response(text, media_type="text/html")

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("There is no such file.", 404)
        text = (files("genfilt.review") / "static" / name).read_text("utf-8")
        return Response(text, media_type=STATIC[name])

    async def _queue(self, request: Request) -> Response:
        reviewer = request.query_params.get("reviewer", "")
        items, progress = await run_in_threadpool(self.session.queue, reviewer)
        return JSONResponse({"items": [asdict(i) for i in items], "progress": asdict(progress)})

    async def _card(self, request: Request) -> Response:
        names = [request.query_params.get(name, "") for name in ("query_id", "product_id")]
        return JSONResponse(asdict(await run_in_threadpool(self.session.card, *names)))

    async def _explain(self, request: Request) -> Response:
        texts = [request.query_params.get(name, "") for name in ("query", "product")]
        if max(map(len, texts)) > MAX_TEXT:
            raise UserError(f"A search and a product have at most {MAX_TEXT:,} characters.")
        found = await run_in_threadpool(self.session.lookup.explain, *texts)
        known = ("query", "title", "q_i", "q_t", "score", "rank", "candidates", "why")
        shown = {name: getattr(found, name) for name in known}
        shown |= {name: plain(shown[name], 500) for name in ("query", "title")}
        return JSONResponse(shown | {"reasons": reasons_in_words(found.reasons)})

    async def _answer(self, request: Request) -> Response:
        given = await _json_object(request)
        if not given.keys() >= ANSWER_FIELDS:
            raise UserError(f"An answer needs {', '.join(sorted(ANSWER_FIELDS))}.")
        verdict, note = given["verdict"], given.get("note")
        if not isinstance(verdict, int | None) or not isinstance(note, str | None):
            raise UserError("The verdict must be 1, 0 or null, and a note must be a text.")
        texts = [given[name] for name in ("query_id", "product_id", "reviewer")]
        if not all(isinstance(text, str) for text in texts):
            raise UserError("The ids and the reviewer must be texts.")
        query_id, product_id, reviewer = map(str, texts)
        written = await run_in_threadpool(
            self.session.answer, query_id, product_id, verdict, reviewer, note
        )
        return JSONResponse({"written": written})

    async def _picture(self, request: Request) -> Response:
        product_id = request.query_params.get("product_id", "")
        content = await run_in_threadpool(self._jpeg, product_id)
        if content is None:
            return PlainTextResponse("There is no picture that can be shown.", 404)
        # Undo and the way back show the same pictures again.
        kept = {"Cache-Control": "private, max-age=600"}
        return Response(content, media_type="image/jpeg", headers=kept)

    def _jpeg(self, product_id: str) -> bytes | None:
        """Return a product's picture encoded anew: no bytes of the file reach the browser."""
        path = self.session.picture(product_id)
        # A pipe or a device would never end.
        if path is None or not Path(path).is_file():
            return None
        with self._decoding:
            try:
                picture = open_photo(Path(path), PICTURE_SIDE)
                content = BytesIO()
                picture.save(content, "JPEG", quality=82)
            except Exception:  # Pillow's readers raise whatever a broken file leads to
                return None
        return content.getvalue()


def _plainly(handler: Handler) -> Handler:
    """Answer a fault that the user can mend with its sentence."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except LockedError:
            text = "Another command has the database; the page tries again."
            return JSONResponse({"error": text, "locked": True}, 503)
        except duckdb.InterruptException:  # Ctrl-C while the database is read
            return JSONResponse({"error": "The server has ended."}, 503)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)

    return answered


async def _json_object(request: Request) -> dict[str, object]:
    body = bytearray()
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


def _listening(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1.

    Raises:
        UserError: the port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(
            f"Port {port} cannot be used ({error.strerror}); give another --port."
        ) from error
    return listening
