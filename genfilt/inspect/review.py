"""A stratified sample of candidates for people to judge, and the precision by their answers.

Scores are unevenly spread, so equal shares are drawn from equal ranges of the score, and each
judged pair then counts the inverse of its probability: Hajek's estimate of the precision of all
corrections. Its interval is Wilson's at Kish's effective sample size. Half of a sample may come
from candidates below sigma; they show what the filter leaves out and count once they are
corrections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.common.statistics import wilson_interval
from genfilt.filter.lower_candidates import LowerCandidates
from genfilt.store.store import Store, now

STRATA = 5  # of the corrections, and as many of the candidates below sigma
NO_PAIRS = pa.table({"q": pa.array([], pa.int32()), "f": pa.array([], pa.int32()),
                     "score": pa.array([], pa.float64())})  # fmt: skip

# One row for each distinct content, as the correction tables hold them.
POPULATION = """
CREATE OR REPLACE TEMP TABLE reviewable AS
SELECT c.q, n.p, any_value(c.score) AS score
FROM qp_corrections c JOIN product_no n USING (f) JOIN products USING (product_id)
WHERE split = $split
  -- Of train alone: what val and test verdicts say must not decide what is drawn.
  AND NOT EXISTS (FROM verdicts v WHERE v.q = c.q AND v.p = n.p AND v.split = 'train')
GROUP BY c.q, n.p
"""
LOWER_POPULATION = """
CREATE OR REPLACE TEMP TABLE reviewable_lower AS
SELECT c.q, n.p, any_value(c.score) AS score
FROM lower_candidates c JOIN product_no n USING (f) JOIN products USING (product_id)
WHERE split = $split
  AND NOT EXISTS (FROM qp_corrections k WHERE k.q = c.q AND k.f = c.f)
  AND NOT EXISTS (FROM verdicts v WHERE v.q = c.q AND v.p = n.p AND v.split = 'train')
GROUP BY c.q, n.p
"""
STRATIFY = f"""
CREATE OR REPLACE TEMP TABLE strata AS
SELECT q, p, score, lower,
       {STRATA} * lower::INTEGER
       + least({STRATA - 1}, floor({STRATA} * (score - low) / (high - low))) AS stratum
FROM (SELECT *, min(score) OVER (PARTITION BY lower) AS low,
             max(score) OVER (PARTITION BY lower) + 1e-9 AS high
      FROM (SELECT *, false AS lower FROM reviewable
            UNION ALL SELECT *, true FROM reviewable_lower))
"""
DRAWN = """
SELECT chosen.q, chosen.p, chosen.score,
       least(1, size / total) * CASE WHEN lower THEN $share ELSE 1 END AS probability
FROM (SELECT *, count(*) OVER (PARTITION BY stratum) AS total,
             row_number() OVER (PARTITION BY stratum ORDER BY hash(q, p, $seed)) AS place
      FROM strata) chosen
JOIN sizes USING (stratum) WHERE place <= size
"""
# In an order independent of the score: the first half of the sheet is a fair sample too.
SHEET = """
SELECT query_id, product_id, query, title, attributes, image_text AS caption, image, score,
       probability
FROM (SELECT score, probability,
             (SELECT min(query_id) FROM query_no n WHERE n.q = drawn.q) AS query_id,
             (SELECT min(product_id) FROM product_no n JOIN products USING (product_id)
              WHERE n.p = drawn.p AND split = $split) AS product_id
      FROM drawn)
JOIN queries USING (query_id) JOIN products USING (product_id) JOIN product_no USING (product_id)
LEFT JOIN features USING (f)
LEFT JOIN (SELECT title_key, concat_ws(', ', brand, color, material, core_word, model_parameters)
                  AS attributes FROM current_attributes) USING (title_key)
ORDER BY hash(query_id, product_id, $seed)
"""


def next_draw(store: Store) -> int:
    """Return the number of the next sample, which is its seed too."""
    return int(store.scalar("SELECT coalesce(max(draw), 0) + 1 FROM samples"))


def draw_sample(
    store: Store,
    size: int,
    *,
    split: str = "train",
    narrow: Callable[[Store], None] | None = None,
    lower: LowerCandidates | None = None,
) -> list[dict[str, object]]:
    """Draw pairs for review, note their probabilities and return the sheet's rows.

    Args:
        store: the tables.
        size: pairs to draw.
        split: of the products.
        narrow: removes pairs that must not be drawn from the temporary table `reviewable`.
        lower: candidates below sigma, half of the sample; without them only corrections are
            drawn. What one half lacks goes to the other.

    Raises:
        UserError: the split has no such pair that is not judged yet.
    """
    seed = next_draw(store)
    with store.transaction():
        store.connection.execute(POPULATION, {"split": split})
        if narrow is not None:
            narrow(store)
        with store.registered("lower_candidates", NO_PAIRS if lower is None else lower.pairs):
            store.connection.execute(LOWER_POPULATION, {"split": split})
        store.connection.execute(STRATIFY)
        sizes = _sizes(store, size)
        if not sizes:
            raise UserError(
                f"{store.path} has no corrections of the split {split} to review; "
                f"run genfilt filter, with a lower --sigma if it finds none."
            )
        allotted = pa.table({"stratum": list(sizes), "size": list(sizes.values())})
        with store.registered("sizes", allotted):
            share = 1.0 if lower is None else lower.share
            drawn = store.arrow(DRAWN, {"seed": seed, "share": share})
        with store.registered("drawn", drawn):
            rows = store.arrow(SHEET, {"seed": seed, "split": split})
        with store.registered("sheet", rows):
            store.connection.execute(
                "INSERT INTO samples SELECT ?, filter_id, query_id, product_id, score, "
                "probability, ? FROM sheet, filters WHERE current",
                [seed, now()],
            )
        if lower is not None:
            store.set_meta(f"floor of draw {seed}", repr(lower.floor))
    return list(rows.to_pylist())


def _sizes(store: Store, size: int) -> dict[float, int]:
    """Return how many to draw from each stratum: half from corrections, half from lower ones."""
    halves: tuple[dict[float, int], dict[float, int]] = ({}, {})
    counted = "SELECT stratum, lower, count(*) FROM strata GROUP BY ALL ORDER BY ALL"
    for stratum, lower, total in store.rows(counted):
        halves[lower][stratum] = total
    reached, below = (sum(half.values()) for half in halves)
    upper = min(reached, max(size - size // 2, size - below))
    return _share(halves[0], upper) | _share(halves[1], min(below, size - upper))


def _share(totals: dict[float, int], size: int) -> dict[float, int]:
    """Return how many to draw from each stratum: equal shares, what one lacks to the others."""
    sizes = dict.fromkeys(totals, 0)
    left = min(size, sum(totals.values()))
    while left:
        open_strata = [stratum for stratum, total in totals.items() if sizes[stratum] < total]
        each = max(1, left // len(open_strata))
        for stratum in open_strata:
            more = min(each, totals[stratum] - sizes[stratum], left)
            sizes[stratum] += more
            left -= more
    return sizes


# The newest draw with an answer that reached down to this filter's sigma, from this filter or one
# of the same rule and texts: what is a correction of its sample is a sample of the corrections. An
# earlier fit may have given the drawn pairs other scores; which of them are corrections is decided
# by the current one. A filter without a row of filter_fits came from another version's rule.
ANSWERS = """
WITH fitting AS (
    SELECT old.filter_id, old.sigma AS floor, here.sigma,
           old_fit.fit IS DISTINCT FROM here_fit.fit AS earlier_fit
    FROM filters old JOIN filters here ON here.current
     AND old.rule = here.rule AND old.embedder = here.embedder AND old.llm = here.llm
     AND old.captioner = here.captioner AND old.template = here.template
    LEFT JOIN filter_fits old_fit ON old_fit.filter_id = old.filter_id
    LEFT JOIN filter_fits here_fit ON here_fit.filter_id = here.filter_id
    WHERE old.filter_id = here.filter_id
       OR (old_fit.filter_id IS NOT NULL AND here_fit.filter_id IS NOT NULL)
), floors AS (
    SELECT substr(name, length('floor of draw ') + 1)::INTEGER AS draw, value::DOUBLE AS reached
    FROM meta WHERE starts_with(name, 'floor of draw ')
), narrowed AS (
    -- Draws from a selection of the corrections speak of that selection alone.
    SELECT value, name FROM meta WHERE starts_with(name, 'selection of draw ')
), judged AS (
    SELECT draw, probability, v.positive, earlier_fit
    FROM samples JOIN fitting USING (filter_id) LEFT JOIN floors USING (draw)
    ANTI JOIN narrowed ON name = 'selection of draw ' || draw
    JOIN query_no USING (query_id) JOIN product_no USING (product_id)
    SEMI JOIN qp_corrections c ON c.q = query_no.q AND c.f = product_no.f
    SEMI JOIN (FROM products WHERE split = $split) USING (product_id)
    LEFT JOIN (SELECT q, p, arg_max(verdict, "at") = 1 AS positive
               FROM reviews JOIN query_no USING (query_id) JOIN product_no USING (product_id)
               WHERE verdict IS NOT NULL GROUP BY q, p) v
           ON v.q = query_no.q AND v.p = product_no.p
    WHERE coalesce(reached, fitting.floor) <= fitting.sigma
)
SELECT probability, positive, earlier_fit FROM judged
WHERE draw = (SELECT max(draw) FROM judged WHERE positive IS NOT NULL)
"""


@dataclass(frozen=True)
class Reviewed:
    """What the reviews of a sample say of all corrections.

    Attributes:
        precision: Hajek's estimate.
        low, high: ends of its 95 % interval.
        reviewed: judged corrections of the sample.
        drawn: corrections of the sample.
        earlier_fit: whether it was drawn before the current fit, which may have added corrections
            that the sample could not reach.
    """

    precision: float
    low: float
    high: float
    reviewed: int
    drawn: int
    earlier_fit: bool

    def __str__(self) -> str:
        when = ", drawn before the last fit" if self.earlier_fit else ""
        return (
            f"reviewed precision of the corrections: {self.precision:.3f} (95 %: {self.low:.3f} "
            f"to {self.high:.3f}; {self.reviewed} of {self.drawn} judged{when})"
        )


def reviewed_precision(store: Store, split: str = "train") -> Reviewed | None:
    """Return the precision of a split's current corrections by the reviews of a drawn sample.

    None where no drawn correction has been reviewed.
    """
    answers = store.rows(ANSWERS, {"split": split})
    judged = [
        (1 / probability, positive) for probability, positive, _ in answers if positive is not None
    ]
    if not judged:
        return None
    total = sum(weight for weight, _ in judged)
    share = sum(weight for weight, positive in judged if positive) / total
    effective = total**2 / sum(weight**2 for weight, _ in judged)
    interval = wilson_interval(share, effective)
    return Reviewed(share, *interval, len(judged), len(answers), earlier_fit=answers[0][2])
