"""The review page's server: the page, its data, its pictures and the answers."""

from __future__ import annotations

from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genfilt.common.errors import UserError
from genfilt.common.html import plain
from genfilt.common.local_page.page_server import PageServer, json_object
from genfilt.common.local_page.skeleton import script_of, served_page
from genfilt.inspect.wording import reasons_in_words
from genfilt.review.session import ReviewSession

PACKAGE = "genfilt.review"
MAX_TEXT = 2000  # characters of a text to explain
ANSWER_FIELDS = {"query_id", "product_id", "verdict", "reviewer"}


class ReviewServer(PageServer):
    """The page of a review session.

    Args:
        session: what is reviewed.
        port: on 127.0.0.1; 0 finds a free one.
        reviewer: the name that the page begins with.

    Raises:
        UserError: the port is taken.
    """

    def __init__(self, session: ReviewSession, port: int, reviewer: str = "") -> None:
        self.session = session
        values = {"heading": session.title, "remark": session.remark, "person": reviewer}
        super().__init__(
            "genfilt review",
            port,
            page=served_page(PACKAGE, "review", values),
            files={"review.js": script_of(PACKAGE, "review")},
            reads={
                "/api/queue": self._queue,
                "/api/card": self._card,
                "/api/explain": self._explain,
                "/picture": self._picture,
            },
            answer=self._answer,
        )

    async def _queue(self, request: Request) -> Response:
        reviewer = request.query_params.get("person", "")
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
        given = await json_object(request)
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
        return await self.picture(self.session.picture, request.query_params.get("product_id", ""))
