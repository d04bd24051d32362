"""Agreement of judges: Cohen's kappa of two, Fleiss' kappa of three or more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from genfilt.common.arrays import Rows
from trainer.human_eval.sheet import GRADES

Grades = Mapping[str, Mapping[str, int]]
"""Row -> judge -> grade, as a place in GRADES."""


@dataclass(frozen=True)
class Agreement:
    """How far some judges agree on the rows that all of them judged.

    `kappa` is None where there is no such row, or where chance alone would agree wholly.
    """

    judges: str
    rows: int
    same_grade: float | None
    kappa: float | None

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of judge import."""
        return {
            "judges": self.judges,
            "rows": self.rows,
            "same grade": self.same_grade,
            "kappa": self.kappa,
        }


def agreement(judged: Grades, judges: Sequence[str]) -> list[Agreement]:
    """Return the agreement of each two judges, and of all of them from three on."""
    groups = [*combinations(judges, 2), *([tuple(judges)] if len(judges) > 2 else [])]
    return [_agreement(judged, group) for group in groups]


def _agreement(judged: Grades, judges: tuple[str, ...]) -> Agreement:
    common = [row for row in judged.values() if all(name in row for name in judges)]
    grades = np.array([[row[name] for name in judges] for row in common])  # (N, judges)
    kappa = None
    if len(common) and len(np.unique(grades)) > 1:
        kappa = _cohen(grades) if len(judges) == 2 else fleiss(_counts(grades))
    same = float((grades == grades[:, :1]).all(axis=1).mean()) if len(common) else None
    return Agreement(" and ".join(judges), len(common), same, kappa)


def _cohen(grades: Rows) -> float:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*grades.T, labels=range(len(GRADES))))


def _counts(grades: Rows) -> Rows:
    return np.stack([(grades == number).sum(axis=1) for number in range(len(GRADES))], axis=1)


def fleiss(counts: Rows) -> float:
    """Return Fleiss' kappa of counts (N, K): how many judges gave item n the grade k.

    Every item has equally many judges. Source: J. L. Fleiss, Psychological Bulletin 76 (1971).
    """
    judges = counts[0].sum()
    seen = ((counts**2).sum(axis=1) - judges) / (judges * (judges - 1))
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return float((seen.mean() - chance) / (1 - chance))
