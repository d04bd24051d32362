"""A server on 127.0.0.1 of one page, its data, its pictures and the answers that it takes."""

from __future__ import annotations

import json
import socket
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Semaphore

import duckdb
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from genfilt.common.console import say
from genfilt.common.errors import LockedError, UserError
from genfilt.common.local_page.access import HOST, PageAccess
from genfilt.common.local_page.skeleton import skeleton_files
from genfilt.common.photos import jpeg

PICTURE_SIDE = 720  # pixels of the longest side that is sent
PICTURE_QUALITY = 82
PICTURES_AT_A_TIME = 2  # a decoded picture may need 160 MB
MAX_BODY = 64 * 1024  # bytes of an answer
SHUTDOWN_SECONDS = 3  # for requests that are still answered when the server ends
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}

Handler = Callable[[Request], Awaitable[Response]]


class PageServer:
    """A page for whoever has this start's token, which `PageAccess` checks.

    Args:
        command: starts the server; refusals name it.
        port: on 127.0.0.1; 0 finds a free one.
        page: the page's HTML.
        files: the page's scripts and styles by name, beside those of its skeleton.
        reads: handlers of GET requests by path.
        answer: the handler of answers, which are sent to /api/answer.

    Raises:
        UserError: the port is taken.
    """

    def __init__(
        self,
        command: str,
        port: int,
        *,
        page: str,
        files: Mapping[str, str],
        reads: Mapping[str, Handler],
        answer: Handler,
    ) -> None:
        self._html, self._files = page, {**skeleton_files(), **files}
        self._decoding = Semaphore(PICTURES_AT_A_TIME)
        # From here on connections wait, so that a browser may be opened before `serve` runs.
        self._socket = _listening(port)
        self.port = int(self._socket.getsockname()[1])
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._static),
            *(Route(path, _plainly(handler)) for path, handler in reads.items()),
            Route("/api/answer", _plainly(answer), methods=["POST"]),
        ]
        application = Starlette(routes=routes)
        # A redirect would repeat what the request calls itself.
        application.router.redirect_slashes = False
        self.app = PageAccess(application, self.port, command)
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

    def open_and_serve(self, heading: str, *, browser: bool) -> None:
        """Name the address, open it in the user's browser and serve until Ctrl-C."""
        say(f"{heading} at {self.address}\nCtrl-C ends; every answer is kept.")
        if browser:
            webbrowser.open(self.address)
        with suppress(KeyboardInterrupt):  # the way to end it
            self.serve()

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._uvicorn.should_exit = True

    async def _page(self, request: Request) -> Response:
        return Response(self._html, media_type="text/html")

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return PlainTextResponse("There is no such file.", 404)
        return Response(self._files[name], media_type=MEDIA_TYPES[Path(name).suffix])

    async def picture(self, find: Callable[[str], str | None], name: str) -> Response:
        """Answer with a picture encoded anew, so that no byte of the file reaches the browser.

        Args:
            find: returns the picture's file by its name, None where there is none.
            name: as the request gave it.
        """
        content = await run_in_threadpool(self._jpeg, find, name)
        if content is None:
            return PlainTextResponse("There is no picture that can be shown.", 404)
        # Undo and the way back show the same pictures again.
        kept = {"Cache-Control": "private, max-age=600"}
        return Response(content, media_type="image/jpeg", headers=kept)

    def _jpeg(self, find: Callable[[str], str | None], name: str) -> bytes | None:
        path = find(name)
        if path is None:
            return None
        with self._decoding:
            return jpeg(Path(path), PICTURE_SIDE, PICTURE_QUALITY)


async def json_object(request: Request) -> dict[str, object]:
    """Return the JSON object that a request has as its body.

    Raises:
        UserError: the body is none, or is longer than MAX_BODY.
    """
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
