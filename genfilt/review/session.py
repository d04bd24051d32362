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
from genfilt.review.answers import ReviewAnswer, write_answers
from genfilt.review.cards import ReviewCard, load_card, picture_paths
from genfilt.review.journal import Journal
from genfilt.review.lookup import PairLookup
from genfilt.review.queue import (
    Agreement,
    QueueItem,
    answers_needed,
    draw_remark,
    load_agreement,
    load_queue,
    open_draw,
)
from genfilt.review.selection import Selection
from genfilt.store.store import Store, now

PATIENCE = 2.0  # seconds to wait for a command that has the file, before an answer is journalled
MAX_KNOWN_PATHS = 10_000
MAX_REVIEWER = 80  # characters of a reviewer's name
MAX_NOTE = 2000  # characters of a note


@dataclass(frozen=True)
class Progress:
    """How far a review has come.

    Attributes:
        drawn: pairs of the draw.
        answered: answers of this reviewer.
        relevant: those that confirm a correction.
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
        if link is not None and not (
            link.startswith(("https://", "http://")) and "{product_id}" in link
        ):
            raise UsageError(
                "--link must begin with https:// or http:// and contain {product_id}, "
                f"got {link}; give the address of a product's page."
            )
        self.db, self.link = db, link
        self._journal = Journal(db)
        self._lock = Lock()  # one connection at a time
        self._last = now()
        self.lookup = PairLookup(self._reading)
        self._paths: dict[str, str | None] = {}  # pictures of the cards that were shown
        with Store(db) as store:
            self._journal.apply(store)
            self.draw = open_draw(store, size, selection)
            self.title = _title(store, self.draw)
            self.remark = draw_remark(store, self.draw, selection)

    @property
    def journal(self) -> Path:
        """Return the file of answers that wait for the database."""
        return self._journal.path

    def queue(self, reviewer: str) -> tuple[list[QueueItem], Progress]:
        """Return a reviewer's pairs and progress; answers in the journal count.

        Raises:
            LockedError: another command has the file.
        """
        self.apply_waiting()
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
        answered = sum(item.mine is not None for item in items)
        # The precision is that of the corrections: a draw of audit holds pairs below sigma too.
        corrections = [item.mine for item in items if item.correction]
        verdicts = [verdict for verdict in corrections if verdict is not None]
        relevant, left = sum(verdicts), len(corrections) - len(verdicts)
        needed = min(answers_needed(relevant, len(verdicts)), left)
        return items, Progress(len(items), answered, relevant, needed, agreement, len(waiting))

    def card(self, query_id: str, product_id: str) -> ReviewCard:
        """Return one pair's card.

        Raises:
            LockedError: another command has the file.
            UserError: the database has no such pair.
        """
        with self._reading() as store:
            card = load_card(store, query_id, product_id, self.link)
            found = picture_paths(store, card.shown_products)
        if len(self._paths) > MAX_KNOWN_PATHS:
            self._paths.clear()
        self._paths.update({shown: found.get(shown) for shown in card.shown_products})
        return card

    def picture(self, product_id: str) -> str | None:
        """Return the picture file of one of the database's products.

        Raises:
            LockedError: another command has the file.
        """
        if product_id not in self._paths:
            with self._reading() as store:
                return picture_paths(store, [product_id]).get(product_id)
        return self._paths[product_id]

    def apply_waiting(self) -> int:
        """Write what waits in the journal if the database is free; return how many still wait."""
        if not self._journal.is_waiting:
            return 0
        with self._lock:
            try:
                with _patient_store(self.db, read_only=False, patience=0) as store:
                    self._journal.apply(store)
            except LockedError:
                return len(self._journal.read())
        return 0

    def answer(
        self, query_id: str, product_id: str, verdict: int | None, reviewer: str, note: str | None
    ) -> bool:
        """Write an answer in its own transaction; return False where it went into the journal.

        Raises:
            UserError: the answer is not one of 1, 0 and None, or names no pair of the database.
        """
        with self._lock:
            answer = self._checked(query_id, product_id, verdict, reviewer.strip(), note or None)
            # Whoever has the file after PATIENCE has it for long: later answers do not wait again.
            patience = 0 if self._journal.is_waiting else PATIENCE
            try:
                with _patient_store(self.db, read_only=False, patience=patience) as store:
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
        if len(reviewer) > MAX_REVIEWER or len(note or "") > MAX_NOTE:
            raise UserError(
                f"A reviewer's name has at most {MAX_REVIEWER} characters and a note {MAX_NOTE:,}."
            )
        # Two answers within a clock tick, or after the clock was set back, stay in order.
        self._last = max(now(), self._last + timedelta(microseconds=1))
        try:
            return ReviewAnswer(
                query_id, product_id, verdict, reviewer, self._last.isoformat(), note
            )
        except ValueError as error:
            raise UserError(f"This is no answer ({error}).") from error

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        with self._lock, _patient_store(self.db, read_only=True, patience=PATIENCE) as store:
            yield store


def _check_pair(store: Store, query_id: str, product_id: str) -> None:
    known = "SELECT count(*) FROM queries, products WHERE query_id = ? AND product_id = ?"
    if not store.scalar(known, [query_id, product_id]):
        raise UserError(f"The database has no query {query_id!r} or no product {product_id!r}.")


@contextmanager
def _patient_store(db: Path, *, read_only: bool, patience: float) -> Iterator[Store]:
    """Open the database, waiting up to `patience` seconds for a command that has it open."""
    deadline = monotonic() + patience
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


def _title(store: Store, draw: int) -> str:
    ((rule, sigma),) = store.rows(
        "SELECT rule, sigma FROM filters "
        "WHERE filter_id = (SELECT any_value(filter_id) FROM samples WHERE draw = ?)",
        [draw],
    )
    return f"corrections of the {rule} rule at sigma {sigma:g}"
