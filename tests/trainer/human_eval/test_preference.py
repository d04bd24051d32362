"""Shares, differences and agreement of judges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from genfilt.common.errors import UserError
from tests.trainer.human_eval.judged_sheets import random_key
from trainer.human_eval.agreement import agreement, fleiss
from trainer.human_eval.preference import summarize
from trainer.human_eval.sheet import (
    GRADES,
    Judgement,
)


def test_shares_difference_and_interval_against_naive_loops() -> None:
    rng = np.random.default_rng(0)
    key = random_key(rng, 20)
    answers = [
        Judgement(row.row, judge, int(rng.integers(3)) if row.ranks[0] else 2, "")
        for row in key.rows
        for judge in ("ann", "bob")
        if rng.random() < 0.7
    ]
    found = summarize(key, answers).to_dict()
    rows = {row.row: row for row in key.rows}
    said: dict[str, list[int]] = {}
    for answer in answers:
        said.setdefault(answer.row, []).append(answer.grade)
    for grade, line in enumerate(found["shares"]):
        assert line["grade"] == GRADES[grade]
        for side, name in enumerate(("first", "second")):
            parts = [
                grades.count(grade) / len(grades)
                for row, grades in said.items()
                if rows[row].ranks[side] is not None
            ]
            assert line[name] == pytest.approx(sum(parts) / len(parts))
        assert line["difference"] == pytest.approx(line["first"] - line["second"])
        assert line["low"] < line["difference"] < line["high"]
    assert found["shares"][2]["high"] < 0  # only the second model's own rows are all bad
    assert (found["judged rows"], found["rows"]) == (len(said), 240)
    assert (found["queries"], found["judges"]) == (20, ["ann", "bob"])


def test_kappas_are_the_textbooks() -> None:
    # Cohen: 20 times yes and yes, 5 yes and no, 10 no and yes, 15 no and no give 0.4.
    pairs = [(0, 0)] * 20 + [(0, 2)] * 5 + [(2, 0)] * 10 + [(2, 2)] * 15
    judged = {f"r{n}": {"ann": a, "bob": b} for n, (a, b) in enumerate(pairs)}
    (found,) = agreement(judged, ["ann", "bob"])
    assert found.to_dict() == {
        "judges": "ann and bob",
        "rows": 50,
        "same grade": pytest.approx(0.7),
        "kappa": pytest.approx(0.4),
    }
    # Fleiss: 14 psychiatrists, ten patients, five diagnoses give 0.210.
    table = (
        "0 0 0 0 14; 0 2 6 4 2; 0 0 3 5 6; 0 3 9 2 0; 2 2 8 1 1;"
        "7 7 0 0 0; 3 2 6 3 0; 2 5 3 2 2; 6 5 2 1 0; 0 2 2 3 7"
    )
    counts = np.array([[int(n) for n in line.split()] for line in table.split(";")])
    assert fleiss(counts) == pytest.approx(0.210, abs=5e-4)


def test_three_judges_agree_by_pairs_and_together_on_rows_of_all() -> None:
    rng = np.random.default_rng(1)
    judges = ["ann", "bob", "cy"]
    judged = {
        f"r{n}": {
            name: int(grade) for name, grade in zip(judges, rng.integers(3, size=3), strict=True)
        }
        for n in range(40)
    }
    for n in range(5):
        del judged[f"r{n}"]["cy"]
    found = {line.judges: line for line in agreement(judged, judges)}
    assert [line.rows for line in found.values()] == [40, 35, 35, 35]
    rows = [row for row in judged.values() if len(row) == 3]
    expected = cohen_kappa_score([r["ann"] for r in rows], [r["cy"] for r in rows])
    assert found["ann and cy"].kappa == pytest.approx(expected)
    assert found["ann and bob and cy"].kappa is not None


def test_agreement_that_chance_explains_wholly_is_undefined() -> None:
    judged = {"r": {"ann": 1, "bob": 1}, "s": {"ann": 1}}
    (found,) = agreement(judged, ["ann", "bob"])
    assert (found.rows, found.same_grade, found.kappa) == (1, 1.0, None)
    (found,) = agreement({"r": {"ann": 1}, "s": {"bob": 1}}, ["ann", "bob"])
    assert (found.rows, found.same_grade, found.kappa) == (0, None, None)


def test_faults_of_answers_are_one_sentence() -> None:
    key = random_key(np.random.default_rng(0), 2)
    with pytest.raises(UserError, match="ann.csv, row 9z is not a row of the key"):
        summarize(key, [Judgement("9z", "ann", 0, "ann.csv, row 9z")])
    twice = [
        Judgement("0x0", "ann", 0, "a.csv, row 0x0"),
        Judgement("0x0", "ann", 2, "b.csv, row 0x0"),
    ]
    with pytest.raises(UserError, match="'ann' judged twice, Excellent and Bad"):
        summarize(key, twice)
    assert summarize(key, twice[:1] * 2).judged_rows == 1
    with pytest.raises(UserError, match="No row is judged"):
        summarize(key, [])
