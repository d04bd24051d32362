"""The share of votes from which a kind of product is named, by cross-validated votes.

A caption with a wrong kind costs corrections more than one without: so a kind is named only where
votes for it, held against titles that did not take part, are right often enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MIN_PRECISION = 0.8  # of the votes that name a kind
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)  # of the weighted votes; below a half another kind may be ahead
PRIOR_VOTES = 4.0  # by which a kind's precision is drawn to that of all kinds: rare kinds have few
NEVER = float("inf")


@dataclass(frozen=True)
class CheckedVote:
    """A vote on a picture whose kind is known."""

    family: str
    share: float
    right: bool


def certain_shares(votes: Sequence[CheckedVote], families: Iterable[str]) -> dict[str, float]:
    """Return for each family the smallest of SHARES at which its votes reach MIN_PRECISION.

    NEVER where no share does.
    """
    by_family: defaultdict[str, list[CheckedVote]] = defaultdict(list)
    for vote in votes:
        by_family[vote.family].append(vote)
    pooled = {share: _precision(votes, share, 0.0) for share in SHARES}
    return {
        family: next(
            (
                share
                for share in SHARES
                if _precision(by_family[family], share, pooled[share]) >= MIN_PRECISION
            ),
            NEVER,
        )
        for family in set(families)
    }


def _precision(votes: Iterable[CheckedVote], share: float, prior: float) -> float:
    """Return the share of right votes among those from a share on, drawn to the prior."""
    sure = [vote.right for vote in votes if vote.share >= share]
    weight = PRIOR_VOTES if prior else 0.0
    total = len(sure) + weight
    return (sum(sure) + weight * prior) / total if total else 0.0
