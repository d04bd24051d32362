"""What people's answers say of two models: shares, their difference, the judges' agreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfilt.common.arrays import Floats
from genfilt.common.errors import UserError
from genfilt.common.statistics import bootstrap
from trainer.human_eval.blind_draw import Key
from trainer.human_eval.sheet import GRADES, Answer

Said = dict[str, dict[str, int]]
"""Row -> judge -> grade, as a place in GRADES."""


def summarize(key: Key, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return shares by model, their difference with a 95 % interval, and the judges' agreement.

    A row that several judged counts once, as the mean of their grades. The interval is a
    bootstrap over queries.

    Raises:
        UserError: there is no answer, one of a row that the key does not know, or two of one
            judge that differ.
    """
    judged = _by_row(key, answers)
    rows = [row for row in key.rows if row.row in judged]
    grades = np.array([_mean_grade(judged[row.row]) for row in rows])  # (R, GRADES)
    chosen = np.array([[rank is not None for rank in row.ranks] for row in rows])  # (R, 2)
    _, query = np.unique([row.query_id for row in rows], return_inverse=True)
    judges = sorted({name for said in judged.values() for name in said})
    table = []
    for number, name in enumerate(GRADES):
        apart = _difference(grades[:, number], chosen)
        low, high = bootstrap(apart, query.astype(np.int64))
        ones = np.ones(len(rows))
        shares = [_share(grades[:, number], chosen[:, side], ones) for side in (0, 1)]
        table.append(
            {"grade": name, "first": _finite(shares[0]), "second": _finite(shares[1])}
            | {"difference": _finite(apart(ones)), "low": _finite(low), "high": _finite(high)}
        )
    return {
        "models": {"first": key.models[0], "second": key.models[1]},
        "shares": table,
        "queries": int(query.max(initial=-1)) + 1,
        "judged rows": len(rows),
        "rows": len(key.rows),
        "judges": judges,
        "agreement": agreement(judged, judges),
    }


def _by_row(key: Key, answers: Sequence[Answer]) -> Said:
    known = {row.row for row in key.rows}
    judged: Said = defaultdict(dict)
    for answer in answers:
        if answer.row not in known:
            raise UserError(
                f"{answer.at} is no row of the key; give --key the file that was written "
                "with this sheet."
            )
        said = judged[answer.row].setdefault(answer.judge, answer.grade)
        if said != answer.grade:
            raise UserError(
                f"'{answer.judge}' judged twice, {GRADES[said]} and {GRADES[answer.grade]} "
                f"({answer.at}); leave one, or name the judges apart."
            )
    if not judged:
        raise UserError(
            f"No row is judged; write {', '.join(GRADES)} in the column verdict of the sheet."
        )
    return dict(judged)


def _mean_grade(said: dict[str, int]) -> Floats:
    counts = np.bincount(list(said.values()), minlength=len(GRADES))
    return np.asarray(counts / len(said), dtype=np.float64)


def _share(grade: Floats, mine: NDArray[np.bool_], weights: Floats) -> float:
    weight = weights * mine
    total = weight.sum()
    return float(weight @ grade / total) if total else float("nan")


def _difference(grade: Floats, chosen: NDArray[np.bool_]) -> Callable[[Floats], float]:
    def apart(weights: Floats) -> float:
        return _share(grade, chosen[:, 0], weights) - _share(grade, chosen[:, 1], weights)

    return apart


def agreement(judged: Said, judges: Sequence[str]) -> list[dict[str, Any]]:
    """Return Cohen's kappa of each two judges on the rows of both, and Fleiss' of all of three on.

    A kappa is None where there is no row of all of them, or chance alone would agree wholly.
    """
    found = []
    groups = [*combinations(judges, 2), *([tuple(judges)] if len(judges) > 2 else [])]
    for group in groups:
        both = [said for said in judged.values() if all(name in said for name in group)]
        grades = np.array([[said[name] for name in group] for said in both])
        kappa = None
        if len(both) and len(np.unique(grades)) > 1:
            kappa = _cohen(grades) if len(group) == 2 else fleiss(_counts(grades))
        same = float((grades == grades[:, :1]).all(axis=1).mean()) if len(both) else None
        names = " and ".join(group)
        found.append({"judges": names, "rows": len(both), "same grade": same, "kappa": kappa})
    return found


def _cohen(grades: NDArray[np.int64]) -> float:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*grades.T, labels=range(len(GRADES))))


def _counts(grades: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([(grades == number).sum(axis=1) for number in range(len(GRADES))], axis=1)


def fleiss(counts: NDArray[np.int64]) -> float:
    """Return Fleiss' kappa of counts (N, K): how many judges gave item n the grade k.

    Every item has equally many judges. Source: J. L. Fleiss, Psychological Bulletin 76 (1971).
    """
    judges = counts[0].sum()
    seen = ((counts**2).sum(axis=1) - judges) / (judges * (judges - 1))
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return float((seen.mean() - chance) / (1 - chance))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
