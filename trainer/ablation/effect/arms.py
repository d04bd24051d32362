"""Arms of the experiment: the (query, feature text) pairs that each takes for corrections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from genfilt.common.arrays import Integers, Rows
from trainer.ablation.effect.truth import relevant_pairs
from trainer.database.reading import columns, open_database

WRONG_SHARE = 0.25  # of the arm "wrong"
# Only these can enter a batch's mask: queries and products of train clicks and train products.
TRAIN_QUERIES = """
SELECT DISTINCT q FROM clicks JOIN query_no USING (query_id) WHERE split = 'train' ORDER BY q
"""
TRAIN_FEATURES = """
SELECT DISTINCT f FROM products JOIN product_no USING (product_id)
WHERE split = 'train' AND f IS NOT NULL ORDER BY f
"""
CORRECTED = "SELECT q, f FROM qp_corrections"
CORRECTED_IDS = """
SELECT query_id, product_id FROM qp_corrections
JOIN query_no USING (q) JOIN product_no USING (f)
"""
KNOWN = """
SELECT DISTINCT q, f FROM verdicts JOIN product_no USING (p)
WHERE split = 'train' AND positive AND f IS NOT NULL
"""
NUMBERED = """
SELECT DISTINCT q, f FROM named_pairs JOIN query_no USING (query_id)
JOIN product_no USING (product_id) WHERE f IS NOT NULL
"""


@dataclass(frozen=True)
class Arm:
    """A way to fill the correction table, and what it needs beside the database."""

    key: str
    description: str
    needs_truth: bool = False
    needs_paper: bool = False
    drop: bool = False
    """Its pairs leave the denominator instead of being positive."""


ARMS = (
    Arm("none", "no corrections: verdicts of the log alone"),
    Arm("drop", "the found pairs leave the denominator", drop=True),
    Arm("paper", "corrections of the paper's rule", needs_paper=True),
    Arm("found", "the database's corrections"),
    Arm("oracle", "every relevant pair of the truth", needs_truth=True),
    Arm("wrong", "found, a quarter replaced by irrelevant pairs", needs_truth=True),
    Arm("placebo", "as many random pairs as found", needs_truth=True),
)


@dataclass(frozen=True)
class TrainPairs:
    """Pairs (q, f) of train queries and train features as codes q * width + f."""

    queries: Integers
    features: Integers
    width: int

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> TrainPairs:
        """Read the queries and features that training can see."""
        queries = np.ascontiguousarray(columns(connection, TRAIN_QUERIES)["q"], dtype=np.int32)
        features = np.ascontiguousarray(columns(connection, TRAIN_FEATURES)["f"], dtype=np.int32)
        return cls(queries, features, int(features.max(initial=0)) + 1)

    def codes(self, connection: duckdb.DuckDBPyConnection, sql: str) -> Rows:
        """Return the codes of an answer's columns q and f, sorted and distinct."""
        pairs = columns(connection, sql)
        q, f = (np.asarray(pairs[name], dtype=np.int64) for name in ("q", "f"))
        kept = np.isin(q, self.queries) & np.isin(f, self.features)
        codes: Rows = np.unique(q[kept] * self.width + f[kept])
        return codes

    def random(self, count: int, excluded: Rows, seed: int) -> Rows:
        """Return `count` distinct codes that are not excluded, or all where there are fewer."""
        rng = np.random.default_rng(seed)
        drawn = np.empty(0, dtype=np.int64)
        possible = len(self.queries) * len(self.features) - len(excluded)
        while len(drawn) < min(count, possible):
            q = rng.choice(self.queries, 2 * count + 1).astype(np.int64)
            f = rng.choice(self.features, 2 * count + 1).astype(np.int64)
            new = np.setdiff1d(q * self.width + f, np.concatenate([excluded, drawn]))
            drawn = np.concatenate([drawn, rng.permutation(new)])[:count]
        return drawn

    def pairs(self, codes: Rows) -> Integers:
        """Return the pairs (N, 2) of codes (N,)."""
        return np.stack(np.divmod(codes, self.width), axis=1).astype(np.int32)


def arms_of(truth: Path | None, paper: Path | None, chosen: Iterable[str] = ()) -> list[Arm]:
    """Return the arms that can be run with the files at hand, of `chosen` where it is not empty."""
    wanted = set(chosen) or {arm.key for arm in ARMS}
    return [
        arm
        for arm in ARMS
        if arm.key in wanted
        and (truth is not None or not arm.needs_truth)
        and (paper is not None or not arm.needs_paper)
    ]


def arm_pairs(
    db: Path, truth: Path | None, paper: Path | None, seed: int = 0
) -> dict[str, Integers]:
    """Return each arm's (q, f), (N, 2), by key.

    Args:
        db: a genfilt database with corrections.
        truth: its truth, for the arms that need it.
        paper: the same shop's database, filtered by the paper's rule.
        seed: of what is random.

    Raises:
        UserError: a file cannot be read.
    """
    with open_database(db) as connection:
        train = TrainPairs.read(connection)
        found, known = train.codes(connection, CORRECTED), train.codes(connection, KNOWN)
        codes = {"none": np.empty(0, dtype=np.int64), "found": found, "drop": found}
        if paper is not None:
            with open_database(paper) as other:
                names = other.sql(CORRECTED_IDS).to_arrow_table()
            connection.register("named_pairs", names)
            codes["paper"] = train.codes(connection, NUMBERED)
            connection.unregister("named_pairs")
        if truth is not None:
            connection.register("named_pairs", relevant_pairs(truth))
            codes["oracle"] = relevant = train.codes(connection, NUMBERED)
            new = np.setdiff1d(found, known)
            wrong = round(WRONG_SHARE * len(new))
            kept = np.random.default_rng((seed, 1)).permutation(new)[wrong:]
            others = np.concatenate([found, known, relevant])
            codes["wrong"] = np.concatenate([kept, train.random(wrong, np.unique(others), seed)])
            shown = np.unique(np.concatenate([found, known]))
            codes["placebo"] = train.random(len(new), shown, seed)
    return {key: train.pairs(np.unique(values)) for key, values in codes.items()}
