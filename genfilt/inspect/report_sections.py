"""The counts of a report's sections: funnels, queries before and after, generators, failures."""

from __future__ import annotations

from dataclasses import dataclass

from genfilt.extract.generator_quality import FieldGrounding, abstentions, grounding
from genfilt.inspect.charts import FunnelStep, funnel
from genfilt.inspect.wording import ATTRIBUTE_NAMES
from genfilt.store.named_statements import named_statements
from genfilt.store.store import Store

FAILURES_SHOWN = 40
QUERIES_SHOWN = 15
# The least number of relevant products of each class of queries.
CLASSES = (
    (0, "none"),
    (1, "1"),
    (2, "2 to 4"),
    (5, "5 to 9"),
    (10, "10 to 49"),
    (50, "50 or more"),
)


def section_statement(name: str) -> str:
    """Return the SQL statement of report_sections.sql that has this name."""
    return named_statements("genfilt.inspect", "report_sections.sql")[name]


def product_steps(store: Store) -> list[FunnelStep]:
    """Return how many products were read and described."""
    products, pictured, captioned = store.rows(section_statement("products"))[0]
    read = store.scalar(section_statement("read_products"))
    return funnel(
        [
            ("products", products),
            ("with a title that was read", int(read)),
            ("with a picture", pictured),
            ("with a picture that was described", captioned),
        ]
    )


def pair_steps(store: Store) -> list[FunnelStep]:
    """Return the distinct pairs of texts from all that there are down to the new ones."""
    queries, features, candidates, passing = store.rows(section_statement("pairs"))[0]
    kept = store.scalar("SELECT count(*) FROM qp_corrections SEMI JOIN product_no USING (f)")
    return funnel(
        [
            ("searches times products, distinct texts", queries * features),
            ("stored for inspection", candidates),
            ("reach the threshold", passing),
            ("are contradicted by nothing", int(kept)),
            (
                "are new: of a train product, without a click, label or review",
                int(store.scalar(section_statement("new_pairs"))),
            ),
        ],
        logarithmic=True,
    )


@dataclass(frozen=True)
class QueryClass:
    """Queries by how many relevant products they have; widths are percent of all queries."""

    name: str
    before: int
    after: int
    before_width: float
    after_width: float


@dataclass(frozen=True)
class QueryGain:
    """A query's relevant train products: known before, and found."""

    query: str
    before: int
    found: int


@dataclass(frozen=True)
class QueryGains:
    """How many relevant products queries have before and after the corrections.

    Attributes:
        queries: their number.
        mean_before, mean_after: relevant train products of a query.
        classes: of queries.
        most: the queries that gain most.
    """

    queries: int
    mean_before: float
    mean_after: float
    classes: list[QueryClass]
    most: list[QueryGain]


def query_gains(store: Store) -> QueryGains | None:
    """Return the relevant products by query, before and after; None without queries."""
    rows = store.rows(section_statement("queries"))
    if not rows:
        return None
    before = [known for *_, known, _ in rows]
    after = [known + found for *_, known, found in rows]
    classes = []
    for at, (least, name) in enumerate(CLASSES):
        most = CLASSES[at + 1][0] - 1 if at + 1 < len(CLASSES) else max(after)
        counts = [sum(least <= each <= most for each in side) for side in (before, after)]
        widths = [100 * count / len(rows) for count in counts]
        classes.append(QueryClass(name, counts[0], counts[1], widths[0], widths[1]))
    return QueryGains(
        queries=len(rows),
        mean_before=sum(before) / len(rows),
        mean_after=sum(after) / len(rows),
        classes=classes,
        most=[QueryGain(*row[1:]) for row in rows[:QUERIES_SHOWN] if row[3]],
    )


@dataclass(frozen=True)
class GeneratorHealth:
    """What the current generators gave.

    Attributes:
        titles: that were read.
        without_kind: of them, without a core word.
        fields: (name, counts) of each field.
        captions: that were written.
        empty_captions: of them, where the captioner abstained.
        without_named_kind: captions of the embedded captioner without a kind of product.
    """

    titles: int
    without_kind: int
    fields: list[tuple[str, FieldGrounding]]
    captions: int
    empty_captions: int
    without_named_kind: int

    @property
    def share_without_kind(self) -> float:
        """The share of titles without a core word; 0 where there are none."""
        return self.without_kind / self.titles if self.titles else 0.0


def generator_health(store: Store) -> GeneratorHealth:
    """Return what the current generators gave."""
    fields = {each.field: each for each in grounding(store)}
    kind = fields["core_word"]
    captions, empty = store.rows(section_statement("captions"))[0]
    return GeneratorHealth(
        titles=kind.grounded + kind.dropped + kind.null,
        without_kind=kind.dropped + kind.null,
        fields=[(name, fields[key]) for key, name in ATTRIBUTE_NAMES.items()],
        captions=int(captions),
        empty_captions=int(empty),
        without_named_kind=abstentions(store).without_kind,
    )


def failure_groups(store: Store) -> dict[str, object]:
    """Return the failures by step and reason, with an example of each, and their number."""
    groups = store.arrow(section_statement("failures")).to_pylist()
    return {"groups": groups[:FAILURES_SHOWN], "total": sum(group["number"] for group in groups)}
