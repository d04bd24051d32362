"""Selection of the corrections that a review draws from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from genfilt.common.errors import UsageError, UserError
from genfilt.inspect.wording import reasons_in_words
from genfilt.join.pairs import TOLERANCE
from genfilt.store.store import Store

AROUND = 0.05  # scores at most so far from --around are drawn

# Each condition keeps rows (q, p, score) of the temporary table `reviewable`.
CONDITIONS = {
    "query": "q IN (SELECT q FROM query_no JOIN queries USING (query_id) "
    "WHERE query_id = $query OR contains(lower(query), lower($query)))",
    "reason": "(q, p) IN (SELECT c.q, n.p FROM qp_corrections c JOIN product_no n USING (f) "
    "WHERE c.reasons IN (SELECT unnest($reason::VARCHAR[])))",
    "category": "p IN (SELECT p FROM product_no JOIN products USING (product_id) "
    "WHERE split = 'train' AND lower(category) = lower($category))",
    "around": f"abs(score - $around) <= {AROUND} + {TOLERANCE}",
    "new": "(q, p) NOT IN (SELECT q, p FROM samples JOIN query_no USING (query_id) "
    "JOIN product_no USING (product_id))",
}
DISAGREED = """
CREATE OR REPLACE TEMP TABLE reviewable AS
SELECT c.q, n.p, any_value(c.score) AS score
FROM qp_corrections c JOIN product_no n USING (f) JOIN products USING (product_id)
SEMI JOIN (SELECT q, p FROM reviews
           JOIN query_no USING (query_id) JOIN product_no USING (product_id)
           WHERE verdict IS NOT NULL GROUP BY q, p HAVING count(DISTINCT verdict) > 1) d
       ON d.q = c.q AND d.p = n.p
WHERE split = 'train'
GROUP BY c.q, n.p
"""


@dataclass(frozen=True)
class Selection:
    """Which corrections may be drawn; all conditions must hold.

    Attributes:
        query: an id, or words that the query contains.
        reason: words that the reasons contain.
        category: the product's category.
        around: a score near which the pairs lie.
        new: only pairs that no draw had before.
        disagreed: only pairs on which reviewers disagree.
    """

    query: str | None = None
    reason: str | None = None
    category: str | None = None
    around: float | None = None
    new: bool = False
    disagreed: bool = False

    def __post_init__(self) -> None:
        if self.around is not None and not -1 <= self.around <= 1:
            raise UsageError(f"--around must be a score between -1 and 1, got {self.around}.")

    @property
    def is_open(self) -> bool:
        """Tell whether every correction may be drawn."""
        return self == Selection()

    def as_text(self) -> str:
        """Return the conditions as a JSON object, for the record of a draw."""
        return json.dumps({k: v for k, v in asdict(self).items() if v not in (None, False)})

    def narrow(self, store: Store) -> None:
        """Remove the pairs that are not selected from the temporary table `reviewable`.

        Raises:
            UserError: there are corrections to review, and none is selected.
        """
        counted = "SELECT count(*) FROM reviewable"
        all_pairs = store.scalar(counted)
        if self.disagreed:
            store.connection.execute(DISAGREED)
        for name, condition in CONDITIONS.items():
            value = getattr(self, name)
            if value is None or value is False:
                continue
            parameters = {} if value is True else {name: value}
            if name == "reason":
                parameters = {"reason": _matching_reasons(store, value)}
            store.connection.execute(f"DELETE FROM reviewable WHERE NOT ({condition})", parameters)
        if not self.is_open and not store.scalar(counted) and (all_pairs or self.disagreed):
            raise UserError(
                f"No correction fits {self.options()}; review without it, or with another value."
            )

    def options(self) -> str:
        """Return the conditions as options of the command line."""
        given = json.loads(self.as_text())
        return " ".join(f"--{k}" if v is True else f"--{k} {v}" for k, v in given.items())


def _matching_reasons(store: Store, words: str) -> list[str]:
    """Return the reasons that contain words, as the filter writes or as the page shows them."""
    wanted = words.casefold()
    found = store.rows("SELECT DISTINCT reasons FROM qp_corrections WHERE reasons IS NOT NULL")
    return [
        text for (text,) in found if wanted in "; ".join((text, *reasons_in_words(text))).casefold()
    ]
