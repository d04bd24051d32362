"""Selection of the corrections that a review draws from."""

from __future__ import annotations

from dataclasses import dataclass

from genfilt.common.errors import UsageError
from genfilt.store.store import Store

AROUND = 0.05  # scores at most so far from --around are drawn

# Each condition keeps rows (q, p, score) of the temporary table `reviewable`.
CONDITIONS = {
    "query": "q IN (SELECT q FROM query_no JOIN queries USING (query_id) "
    "WHERE query_id = $query OR contains(lower(query), lower($query)))",
    "reason": "(q, p) IN (SELECT c.q, n.p FROM qp_corrections c JOIN product_no n USING (f) "
    "WHERE contains(lower(c.reasons), lower($reason)))",
    "category": "p IN (SELECT p FROM product_no JOIN products USING (product_id) "
    "WHERE lower(category) = lower($category))",
    "around": f"abs(score - $around) <= {AROUND}",
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

    def narrow(self, store: Store) -> None:
        """Remove the pairs that are not selected from the temporary table `reviewable`."""
        if self.disagreed:
            store.connection.execute(DISAGREED)
        for name, condition in CONDITIONS.items():
            value = getattr(self, name)
            if value is not None and value is not False:
                parameters = {} if value is True else {name: value}
                store.connection.execute(
                    f"DELETE FROM reviewable WHERE NOT ({condition})", parameters
                )
