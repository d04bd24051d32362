"""The review queue: the pairs of a draw, a reviewer's answers, and how many are still needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from genfilt.common.html import plain
from genfilt.common.statistics import wilson_interval
from genfilt.inspect.review import draw_sample
from genfilt.inspect.wording import reasons_in_words
from genfilt.review.selection import Selection
from genfilt.store.store import Store

DRAW_SIZE = 200  # pairs: an hour's work, and +-5 % where nine of ten are right
HALF_WIDTH = 0.05  # of the precision's 95 % interval that a review aims at
MAX_NEEDED = 2000  # answers; the widest share, 0.5, needs 381


@dataclass(frozen=True)
class QueueItem:
    """A pair to review.

    Attributes:
        reasons: what speaks for the pair and against it, in a merchandiser's words.
        correction: whether the pair passes sigma; a draw of audit holds pairs below it too.
        mine: this reviewer's answer: 1, 0, or None.
        others: how many other reviewers answered.
    """

    query_id: str
    product_id: str
    query: str
    title: str
    category: str
    score: float
    reasons: list[str]
    probability: float
    correction: bool
    mine: int | None
    others: int


@dataclass(frozen=True)
class Agreement:
    """Pairs of a draw that several reviewers answered, and those answered alike."""

    both: int
    alike: int


def open_draw(store: Store, size: int | None, selection: Selection) -> int:
    """Return the number of the draw to review: the unfinished one, else a new one.

    Without a size the newest draw of the current filter and the same selection goes on, as long
    as a pair of it has no answer.

    Args:
        store: the tables, writable.
        size: pairs to draw; None for DRAW_SIZE, or to continue.
        selection: which pairs may be drawn.

    Raises:
        UserError: nothing is left to review.
    """
    if size is None:
        unfinished = store.scalar(
            (files("genfilt.review") / "unfinished_draw.sql").read_text("utf-8"),
            {"selection": selection.as_text()},
        )
        if unfinished is not None:
            return int(unfinished)
    draw_sample(store, size or DRAW_SIZE, narrow=selection.narrow)
    draw = int(store.scalar("SELECT max(draw) FROM samples"))
    if not selection.is_open:
        store.set_meta(f"selection of draw {draw}", selection.as_text())
    return draw


def draw_remark(store: Store, draw: int, selection: Selection) -> str:
    """Return what the share of relevant pairs of a draw does not speak of, "" where of all."""
    if not selection.is_open:
        return (
            f"Drawn with {selection.options()}: the share of relevant pairs speaks of these alone, "
            "and genfilt audit does not count it for all corrections."
        )
    lower = store.scalar(
        "SELECT count(*) FROM samples JOIN query_no USING (query_id) "
        "JOIN product_no USING (product_id) ANTI JOIN qp_corrections USING (q, f) WHERE draw = ?",
        [draw],
    )
    if lower:
        return (
            f"{lower:,} of these pairs were drawn from below sigma, by genfilt audit --sample: "
            "they show what the filter leaves out. The share counts the corrections alone."
        )
    return ""


def load_queue(store: Store, draw: int, reviewer: str) -> list[QueueItem]:
    """Return a draw's pairs in the order in which a reviewer sees them."""
    sql = (files("genfilt.review") / "queue.sql").read_text("utf-8")
    rows = store.arrow(sql, {"draw": draw, "reviewer": reviewer}).to_pylist()
    for row in rows:
        row |= {name: plain(row[name]) for name in ("query", "title", "category")}
        row["reasons"] = reasons_in_words(row["reasons"])
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
