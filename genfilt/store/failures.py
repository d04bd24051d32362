"""The failures table: items that a step could not process, and their clearing on success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genfilt.store.store import Store


@dataclass(frozen=True)
class Failure:
    """Why an item has no result.

    Attributes:
        reason: a few fixed words that group in SQL, for example "unreadable picture".
        detail: the particulars of this item.
    """

    reason: str
    detail: str = ""


def write_failures(
    store: Store, step: str, generator: str, failures: Sequence[tuple[str, Failure]]
) -> None:
    """Record the items that failed; one that failed before counts one attempt more."""
    # Failure is used where vLLM lives alone, without the packages of the store.
    import pyarrow as pa

    from genfilt.store.store import now

    last = dict(failures)
    if not last:
        return
    rows = pa.table(
        {
            "item_key": list(last),
            "reason": [failure.reason for failure in last.values()],
            "detail": [failure.detail for failure in last.values()],
        }
    )
    with store.registered("failed", rows):
        store.connection.execute(
            "INSERT INTO failures SELECT ?, item_key, ?, reason, detail, 1, ? FROM failed "
            "ON CONFLICT DO UPDATE SET reason = excluded.reason, detail = excluded.detail, "
            "last_at = excluded.last_at, attempts = attempts + 1",
            [step, generator, now()],
        )


def clear_failures(store: Store, step: str, generator: str, succeeded: Sequence[str]) -> None:
    """Remove the failures of items that a step has processed now."""
    import pyarrow as pa

    if not succeeded:
        return
    with store.registered("succeeded", pa.table({"item_key": list(succeeded)})):
        store.connection.execute(
            "DELETE FROM failures WHERE step = ? AND generator = ? "
            "AND item_key IN (SELECT item_key FROM succeeded)",
            [step, generator],
        )
