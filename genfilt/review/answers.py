"""Answers of reviewers as rows of the table `reviews`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from genfilt.store.store import Store, now

# An answer replaces the reviewer's earlier one; the same answer written twice changes nothing. A
# stored time in the future is a clock's or a time zone's error and must not outlast new answers.
WRITE = """
INSERT INTO reviews (query_id, product_id, verdict, reviewer, note, "at")
SELECT query_id, product_id, $verdict::TINYINT, $reviewer, $note::VARCHAR, $at::TIMESTAMP
FROM queries, products WHERE query_id = $query_id AND product_id = $product_id
ON CONFLICT (query_id, product_id, reviewer) DO UPDATE
SET verdict = excluded.verdict, note = excluded.note, "at" = excluded."at"
WHERE excluded."at" >= reviews."at" OR reviews."at" > $now
"""


@dataclass(frozen=True)
class ReviewAnswer:
    """A reviewer's verdict of a pair.

    Attributes:
        query_id: of a query of the database.
        product_id: of a product of the database.
        verdict: 1 relevant, 0 not relevant, None to withdraw an earlier answer.
        reviewer: a name, or "".
        at: time of the answer, UTC, in ISO format; the latest answer of a reviewer counts.
        note: free text, or None.

    Raises:
        ValueError: a field has another type or value.
    """

    query_id: str
    product_id: str
    verdict: int | None
    reviewer: str
    at: str
    note: str | None = None

    def __post_init__(self) -> None:
        texts = (self.query_id, self.product_id, self.reviewer, self.at, self.note or "")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("ids, reviewer, time and note must be texts")
        if isinstance(self.verdict, bool) or self.verdict not in (0, 1, None):
            raise ValueError("the verdict must be 1, 0 or null")
        for text in texts:
            text.encode()  # a lone surrogate is no text
        self.time()

    def time(self) -> datetime:
        """Return the time without a zone, as the tables have it."""
        return datetime.fromisoformat(self.at).replace(tzinfo=None)


def write_answers(store: Store, answers: Sequence[ReviewAnswer]) -> None:
    """Write answers into `reviews`, all or none; those of unknown pairs are left out."""
    with store.transaction():
        for answer in answers:
            values = {
                "query_id": answer.query_id,
                "product_id": answer.product_id,
                "verdict": answer.verdict,
                "reviewer": answer.reviewer,
                "note": answer.note,
                "at": answer.time(),
                "now": now(),
            }
            store.connection.execute(WRITE, values)
