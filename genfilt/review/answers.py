"""Answers of reviewers: rows of `reviews`, or a journal while another command has the file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from genfilt.common.atomic import sync
from genfilt.store.store import Store

# An answer replaces the reviewer's earlier one. A journal that is applied twice changes nothing.
WRITE = """
INSERT INTO reviews (query_id, product_id, verdict, reviewer, note, "at") VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (query_id, product_id, reviewer) DO UPDATE
SET verdict = excluded.verdict, note = excluded.note, "at" = excluded."at"
WHERE excluded."at" >= reviews."at"
"""


@dataclass(frozen=True)
class ReviewAnswer:
    """What a reviewer says of a pair.

    Attributes:
        query_id: of a query of the database.
        product_id: of a product of the database.
        verdict: 1 relevant, 0 not relevant, None to withdraw an earlier answer.
        reviewer: a name, or "".
        at: time of the answer, UTC, in ISO format; the latest answer of a reviewer counts.
        note: free text, or None.
    """

    query_id: str
    product_id: str
    verdict: int | None
    reviewer: str
    at: str
    note: str | None = None


def write_answers(store: Store, answers: Sequence[ReviewAnswer]) -> None:
    """Write answers into `reviews`, all or none; those of unknown pairs are left out."""
    with store.transaction():
        for answer in answers:
            known = store.scalar(
                "SELECT count(*) FROM queries, products WHERE query_id = ? AND product_id = ?",
                [answer.query_id, answer.product_id],
            )
            if known:
                values = [*list(asdict(answer).values())[:4], answer.note, _time(answer.at)]
                store.connection.execute(WRITE, values)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


class Journal:
    """Answers that wait for the database file, one JSON object a line, beside it."""

    def __init__(self, db: Path) -> None:
        self.path = db.with_name(f"{db.name}.reviews.jsonl")

    def append(self, answer: ReviewAnswer) -> None:
        """Add an answer; it is on disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[ReviewAnswer]:
        """Return the waiting answers; a last line that a crash cut off is left out."""
        if not self.path.exists():
            return []
        answers = []
        for line in self.path.read_text("utf-8").splitlines():
            try:
                answers.append(ReviewAnswer(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return answers

    def apply(self, store: Store) -> int:
        """Write the waiting answers into the database, remove the journal, and return how many.

        A crash between the two is harmless: the same answers applied again change nothing.
        """
        answers = self.read()
        if answers:
            write_answers(store, answers)
            sync(self.path)
        self.path.unlink(missing_ok=True)
        return len(answers)
