"""A review session: reads pages and writes answers, and has the database open only meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from genfilt.common.errors import LockedError, UsageError, UserError
from genfilt.review.answers import Journal, ReviewAnswer, write_answers
from genfilt.review.cards import ReviewCard, load_card, picture_path
from genfilt.review.queue import (
    Agreement,
    QueueItem,
    answers_needed,
    load_agreement,
    load_queue,
    open_draw,
)
from genfilt.review.selection import Selection
from genfilt.store.store import Store, now

PATIENCE = 2.0  # seconds to wait for a command that has the file, before an answer is journalled
MAX_REVIEWER = 80  # characters of a reviewer's name
MAX_NOTE = 2000  # characters of a note


@dataclass(frozen=True)
class Progress:
    """How far a review has come.

    Attributes:
        drawn: pairs of the draw.
        answered: answers of this reviewer.
        relevant: those that confirm the pair.
        needed: answers more until the precision is known to +-5 %.
        agreement: of all reviewers of this draw.
        waiting: answers in the journal.
    """

    drawn: int
    answered: int
    relevant: int
    needed: int
    agreement: Agreement
    waiting: int


class ReviewSession:
    """The pairs of one draw, for any number of reviewers.

    Args:
        db: the database file.
        size: pairs to draw, None to continue an unfinished draw.
        selection: which pairs may be drawn.
        link: address of a product's page with {product_id} in it, or None.

    Raises:
        UserError: there is nothing to review, or the file cannot be opened.
    """

    def __init__(
        self, db: Path, size: int | None, selection: Selection, link: str | None = None
    ) -> None:
        if link is not None and not link.startswith(("https://", "http://")):
            raise UsageError(f"--link must begin with https:// or http://, got {link}.")
        self.db, self.link = db, link
        self._journal = Journal(db)
        self._lock = Lock()  # one connection at a time
        self._last = now()
        with Store(db) as store:
            self._journal.apply(store)
            self.draw = open_draw(store, size, selection)
            self.title = _title(store)

    def queue(self, reviewer: str) -> tuple[list[QueueItem], Progress]:
        """Return a reviewer's pairs and progress; answers in the journal count.

        Raises:
            LockedError: another command has the file.
        """
        with self._reading() as store:
            items = load_queue(store, self.draw, reviewer)
            agreement = load_agreement(store, self.draw)
        waiting = self._journal.read()
        mine = {
            (answer.query_id, answer.product_id): answer.verdict
            for answer in waiting
            if answer.reviewer == reviewer
        }
        items = [
            replace(item, mine=mine.get((item.query_id, item.product_id), item.mine))
            for item in items
        ]
        verdicts = [item.mine for item in items if item.mine is not None]
        relevant, answered = sum(verdicts), len(verdicts)
        needed = min(answers_needed(relevant, answered), len(items) - answered)
        return items, Progress(len(items), answered, relevant, needed, agreement, len(waiting))

    def card(self, query_id: str, product_id: str) -> ReviewCard:
        """Return one pair's card.

        Raises:
            LockedError: another command has the file.
            UserError: the database has no such pair.
        """
        with self._reading() as store:
            return load_card(store, query_id, product_id, self.link)

    def picture(self, product_id: str) -> str | None:
        """Return the picture file of one of the database's products.

        Raises:
            LockedError: another command has the file.
        """
        with self._reading() as store:
            return picture_path(store, product_id)

    def answer(
        self, query_id: str, product_id: str, verdict: int | None, reviewer: str, note: str | None
    ) -> bool:
        """Write an answer in its own transaction; return False where it went into the journal.

        Raises:
            UserError: the answer is not one of 1, 0 and None, or names no pair of the database.
        """
        answer = self._checked(query_id, product_id, verdict, reviewer, note)
        with self._lock:
            try:
                with _patient_store(self.db, read_only=False) as store:
                    _check_pair(store, query_id, product_id)
                    self._journal.apply(store)
                    write_answers(store, [answer])
                return True
            except LockedError:
                self._journal.append(answer)
                return False

    def _checked(
        self, query_id: str, product_id: str, verdict: int | None, reviewer: str, note: str | None
    ) -> ReviewAnswer:
        if verdict not in (0, 1, None) or isinstance(verdict, bool):
            raise UserError(f"The verdict must be 1, 0 or null, got {verdict!r}.")
        if len(reviewer) > MAX_REVIEWER or len(note or "") > MAX_NOTE:
            raise UserError(
                f"A reviewer's name has at most {MAX_REVIEWER} characters and a note {MAX_NOTE}."
            )
        # Two answers within a clock tick, or after the clock was set back, stay in order.
        self._last = max(now(), self._last + timedelta(microseconds=1))
        return ReviewAnswer(
            query_id, product_id, verdict, reviewer, self._last.isoformat(), note or None
        )

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        with self._lock, _patient_store(self.db, read_only=True) as store:
            yield store


def _check_pair(store: Store, query_id: str, product_id: str) -> None:
    known = "SELECT count(*) FROM queries, products WHERE query_id = ? AND product_id = ?"
    if not store.scalar(known, [query_id, product_id]):
        raise UserError(f"The database has no query {query_id!r} or no product {product_id!r}.")


@contextmanager
def _patient_store(db: Path, *, read_only: bool) -> Iterator[Store]:
    """Open the database, waiting up to PATIENCE for a command that has it open."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            store = Store(db, read_only=read_only)
            break
        except LockedError:
            if monotonic() > deadline:
                raise
            sleep(0.05)
    with store:
        yield store


def _title(store: Store) -> str:
    ((rule, sigma),) = store.rows("SELECT rule, sigma FROM filters WHERE current")
    return f"corrections of the {rule} rule at sigma {sigma:g}"
