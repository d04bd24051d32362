"""The review queue: the pairs of a draw, a reviewer's answers, and how many are still needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from genfilt.common.statistics import wilson_interval
from genfilt.inspect.review import draw_sample
from genfilt.review.selection import Selection
from genfilt.store.store import Store

HALF_WIDTH = 0.05  # of the precision's 95 % interval that a review aims at
MAX_NEEDED = 2000  # answers; the widest share, 0.5, needs 381


@dataclass(frozen=True)
class QueueItem:
    """A pair to review.

    Attributes:
        mine: this reviewer's answer: 1, 0, or None.
        others: how many other reviewers answered.
    """

    query_id: str
    product_id: str
    query: str
    title: str
    category: str
    score: float
    reasons: str
    probability: float
    mine: int | None
    others: int


@dataclass(frozen=True)
class Agreement:
    """Pairs of a draw that several reviewers answered, and those answered alike."""

    both: int
    alike: int


def open_draw(store: Store, size: int | None, selection: Selection) -> int:
    """Return the number of the draw to review: the unfinished one, else a new one.

    A draw of the current filter with pairs that nobody answered is continued, unless a size or a
    selection is given.

    Args:
        store: the tables, writable.
        size: pairs to draw; None for 200, or to continue.
        selection: which pairs may be drawn.

    Raises:
        UserError: nothing is left to review.
    """
    if size is None and selection.is_open:
        unfinished = store.scalar(
            "SELECT max(draw) FROM samples JOIN filters USING (filter_id) WHERE current AND "
            "(query_id, product_id) NOT IN (SELECT query_id, product_id FROM reviews "
            "WHERE verdict IS NOT NULL)"
        )
        if unfinished is not None:
            return int(unfinished)
    draw_sample(store, size or 200, narrow=selection.narrow)
    return int(store.scalar("SELECT max(draw) FROM samples"))


def load_queue(store: Store, draw: int, reviewer: str) -> list[QueueItem]:
    """Return a draw's pairs in the order in which a reviewer sees them."""
    sql = (files("genfilt.review") / "queue.sql").read_text("utf-8")
    rows = store.arrow(sql, {"draw": draw, "reviewer": reviewer}).to_pylist()
    return [QueueItem(**row) for row in rows]


def load_agreement(store: Store, draw: int) -> Agreement:
    """Return how far reviewers agree on the pairs of a draw."""
    sql = (files("genfilt.review") / "agreement.sql").read_text("utf-8")
    ((both, alike),) = store.rows(sql, {"draw": draw})
    return Agreement(int(both), int(alike))


def answers_needed(relevant: int, answered: int) -> int:
    """Return how many answers more bring the precision's interval to +-HALF_WIDTH (Wilson).

    Args:
        relevant: answers that confirmed the pair.
        answered: all answers; the share so far is expected to go on.
    """
    share = relevant / answered if answered else 0.9  # sigma's usual promise, before any answer
    for total in range(max(answered, 1), MAX_NEEDED):
        low, high = wilson_interval(share, total)
        if (high - low) / 2 <= HALF_WIDTH:
            return total - answered
    return max(0, MAX_NEEDED - answered)
