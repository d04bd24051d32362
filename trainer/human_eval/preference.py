"""Shares of grades of two models, and their difference, from people's judgements (Table 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genfilt.common.arrays import Bools, Floats
from genfilt.common.errors import UserError
from genfilt.common.statistics import bootstrap
from trainer.human_eval.agreement import Agreement, Grades, agreement
from trainer.human_eval.blind_draw import Key
from trainer.human_eval.sheet import GRADES, Judgement


@dataclass(frozen=True)
class GradeShare:
    """The share of a grade among each model's judged products, and the difference's interval.

    Undefined figures are None.
    """

    grade: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Preference:
    """How two models were judged, and how far the judges agree."""

    models: tuple[str, str]
    shares: list[GradeShare]
    queries: int
    judged_rows: int
    rows: int
    judges: list[str]
    agreement: list[Agreement]

    def to_dict(self) -> dict[str, object]:
        """Return plain values under the keys of judge import."""
        return {
            "models": {"first": self.models[0], "second": self.models[1]},
            "shares": [share.to_dict() for share in self.shares],
            "queries": self.queries,
            "judged rows": self.judged_rows,
            "rows": self.rows,
            "judges": self.judges,
            "agreement": [one.to_dict() for one in self.agreement],
        }


def summarize(key: Key, judgements: Sequence[Judgement]) -> Preference:
    """Return shares by model, their difference with a 95 % interval, and the judges' agreement.

    A row that several judged counts once, as the mean of their grades. The interval is a
    bootstrap over queries.

    Raises:
        UserError: there is no judgement, one of a row that the key does not know, or two of one
            judge that differ.
    """
    judged = _by_row(key, judgements)
    rows = [row for row in key.rows if row.row in judged]
    grades = np.array([_mean_grade(judged[row.row]) for row in rows])  # (R, GRADES)
    chosen = np.array([[rank is not None for rank in row.ranks] for row in rows])  # (R, 2)
    _, query = np.unique([row.query_id for row in rows], return_inverse=True)
    judges = sorted({name for names in judged.values() for name in names})
    shares = []
    for number, name in enumerate(GRADES):
        difference = _difference(grades[:, number], chosen)
        low, high = bootstrap(difference, query.astype(np.int64))
        ones = np.ones(len(rows))
        first, second = (_share(grades[:, number], chosen[:, side], ones) for side in (0, 1))
        figures = map(_finite, (first, second, difference(ones), low, high))
        shares.append(GradeShare(name, *figures))
    return Preference(
        models=key.models,
        shares=shares,
        queries=int(query.max(initial=-1)) + 1,
        judged_rows=len(rows),
        rows=len(key.rows),
        judges=judges,
        agreement=agreement(judged, judges),
    )


def _by_row(key: Key, judgements: Sequence[Judgement]) -> Grades:
    known = {row.row for row in key.rows}
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for one in judgements:
        if one.row not in known:
            raise UserError(
                f"{one.place} is not a row of the key; give --key the file that was written "
                "with this sheet."
            )
        before = judged[one.row].setdefault(one.judge, one.grade)
        if before != one.grade:
            raise UserError(
                f"'{one.judge}' judged twice, {GRADES[before]} and {GRADES[one.grade]} "
                f"({one.place}); leave one, or give the judges different names."
            )
    if not judged:
        raise UserError(
            f"No row is judged; write {', '.join(GRADES)} in the column verdict of the sheet."
        )
    return dict(judged)


def _mean_grade(grades: Mapping[str, int]) -> Floats:
    counts = np.bincount(list(grades.values()), minlength=len(GRADES))
    return np.asarray(counts / len(grades), dtype=np.float64)


def _share(grade: Floats, mine: Bools, weights: Floats) -> float:
    weight = weights * mine
    total = weight.sum()
    return float(weight @ grade / total) if total else float("nan")


def _difference(grade: Floats, chosen: Bools) -> Callable[[Floats], float]:
    def difference(weights: Floats) -> float:
        return _share(grade, chosen[:, 0], weights) - _share(grade, chosen[:, 1], weights)

    return difference


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
