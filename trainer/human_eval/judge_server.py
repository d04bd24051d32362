"""The page on which people judge a sheet: three grades, blind, each answer on disk at once."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genfilt.common.errors import UserError
from genfilt.common.local_page.page_server import PageServer, json_object
from genfilt.common.local_page.skeleton import script_of, served_page
from trainer.human_eval.judgements import Judgements
from trainer.human_eval.sheet import (
    GRADES,
    PACKAGE,
    SheetItem,
    answers_of,
    read_rows_to_judge,
    sheet_items,
)

ANSWER_FIELDS = {"row", "verdict", "judge"}


class JudgeServer(PageServer):
    """The page of a sheet, for any number of judges; it knows nothing of the models.

    Args:
        sheet: that `export_sheet` wrote.
        port: on 127.0.0.1; 0 finds a free one.
        judge: the name that the page begins with.

    Raises:
        UserError: the sheet cannot be read, or the port is taken.
    """

    def __init__(self, sheet: Path, port: int, judge: str = "") -> None:
        self._items, self._images = sheet_items(read_rows_to_judge(sheet))
        self._rows = {item.row for item in self._items}
        self.answers = answers_of(sheet)
        self._judgements = Judgements(self.answers)
        self._lock = Lock()  # answers are written in the order in which they come
        values = {"sheet": sheet.name, "grades": GRADES, "person": judge}
        super().__init__(
            "trainer judge serve",
            port,
            page=served_page(PACKAGE, "judge", values),
            files={"judge.js": script_of(PACKAGE, "judge")},
            reads={"/api/queue": self._queue, "/picture": self._picture},
            answer=self._answer,
        )

    def items(self, judge: str) -> list[SheetItem]:
        """Return the rows with a judge's grades."""
        grades = self._judgements.latest().get(judge.strip(), {})
        return [replace(item, mine=grades.get(item.row)) for item in self._items]

    async def _queue(self, request: Request) -> Response:
        items = await run_in_threadpool(self.items, request.query_params.get("person", ""))
        return JSONResponse({"items": [asdict(item) for item in items], "progress": None})

    async def _answer(self, request: Request) -> Response:
        given = await json_object(request)
        if not given.keys() >= ANSWER_FIELDS:
            raise UserError(f"An answer needs {', '.join(sorted(ANSWER_FIELDS))}.")
        row, judge, grade = (given[name] for name in ("row", "judge", "verdict"))
        if not isinstance(judge, str) or not judge.isprintable():
            raise UserError("The judge must be a name.")
        if not isinstance(row, str) or row not in self._rows:
            raise UserError("The sheet has no such row.")
        if isinstance(grade, bool) or not isinstance(grade, int | None):
            raise UserError("The verdict must be a number or null.")
        if grade is not None and grade not in range(len(GRADES)):
            raise UserError(f"The verdict must be null or from 0 to {len(GRADES) - 1}.")
        await run_in_threadpool(self._append, row, judge.strip(), grade)
        return JSONResponse({"written": True})

    def _append(self, row: str, judge: str, grade: int | None) -> None:
        with self._lock:
            self._judgements.append(row, judge, grade)

    async def _picture(self, request: Request) -> Response:
        return await self.picture(self._images.get, request.query_params.get("picture", ""))
