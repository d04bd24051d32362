"""Access to a local page: whoever had this start's token, and pages of this server alone."""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
READING = ("GET", "HEAD")
WRONG_HOST = f"This server answers to {HOST} only."
NO_COOKIE = "Open the address that {command} printed."
FOREIGN_PAGE = "Answers are taken from this server's page only."
USED_TOKEN = "This address was used already; run {command} again for a new one."


class PageAccess:
    """An application behind the checks that keep other pages and other users out.

    The token is exchanged once for an HttpOnly cookie. Every other request must have the cookie and
    name this server as its host (against DNS rebinding); one that writes must come from this page
    (against cross-site request forgery). What the application does not know is refused alike.

    Args:
        app: the application.
        port: on 127.0.0.1.
        command: starts the server; the refusals name it.
    """

    def __init__(self, app: ASGIApp, port: int, command: str) -> None:
        self.app, self.command = app, command
        self.token = secrets.token_urlsafe(32)
        self._token_used = False
        self._hosts = (f"{HOST}:{port}", f"localhost:{port}")
        self._cookie = f"genfilt_page_{port}", secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; every response has the HEADERS."""
        if scope["type"] != "http":
            return  # the page has no WebSocket, and nothing to do at start and end

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """Return the response to a request that does not reach the application."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return PlainTextResponse(WRONG_HOST, 400)
        reading = request.method in READING
        if reading and request.scope["path"] == "/" and "token" in request.query_params:
            return self._exchange(request)
        if not self._has_cookie(request):
            return PlainTextResponse(NO_COOKIE.format(command=self.command), 403)
        if not reading and not self._is_own_page(request, hosts[0]):
            return PlainTextResponse(FOREIGN_PAGE, 403)
        return None

    def _has_cookie(self, request: Request) -> bool:
        name, value = self._cookie
        return secrets.compare_digest(request.cookies.get(name, "").encode(), value.encode())

    def _is_own_page(self, request: Request, host: str) -> bool:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" and request.headers.get("origin") == f"http://{host}"

    def _exchange(self, request: Request) -> Response:
        """Give the cookie for the token, once, and lead to the address without the token."""
        given = request.query_params["token"].encode()
        if secrets.compare_digest(given, self.token.encode()) and not self._token_used:
            self._token_used = True
            response = RedirectResponse("/", 303)
            name, value = self._cookie
            response.set_cookie(name, value, httponly=True, samesite="strict")
            return response
        if self._has_cookie(request):
            return RedirectResponse("/", 303)
        return PlainTextResponse(USED_TOKEN.format(command=self.command), 403)
