from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.review.selection import Selection
from tests.review.review_shop import open_session, write_shop

CASES: list[tuple[dict[str, object], set[str]]] = [
    ({"query": "q1"}, {"p06", "p07", "p08", "p09", "p10", "p11"}),
    ({"query": "KETT"}, {"p12", "p13", "p14", "p15", "p16", "p17"}),
    ({"reason": "Colour: pink"}, {"p05", "p11", "p17", "p23", "p29"}),
    ({"reason": "kind of product: mug (shoppers"}, {"p06", "p07", "p08", "p09", "p10", "p11"}),
    ({"category": "Clothes"}, {f"p{n:02}" for n in range(6)}),
    ({"around": 0.55}, {f"p{n:02}" for n in range(11)}),
    ({"query": "mug", "reason": "pink"}, {"p11"}),
]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb")


def drawn(db: Path, size: int | None = None, **conditions: object) -> set[str]:
    session = open_session(db, size, **conditions)
    return {item.product_id for item in session.queue("")[0]}


@pytest.mark.parametrize(("conditions", "products"), CASES)
def test_only_what_is_selected_is_drawn(
    db: Path, conditions: dict[str, object], products: set[str]
) -> None:
    assert drawn(db, **conditions) == products


def test_new_pairs_were_never_drawn(db: Path) -> None:
    first = drawn(db, 10)
    rest = drawn(db, new=True)
    assert len(first) == 10
    assert rest == {f"p{n:02}" for n in range(30)} - first
    assert drawn(db, new=True) == rest  # unfinished: it goes on
    with pytest.raises(UserError, match="No correction fits --new"):
        drawn(db, 5, new=True)


def test_disagreed_pairs_have_both_answers(db: Path) -> None:
    with pytest.raises(UserError, match="No correction fits --disagreed"):
        drawn(db, disagreed=True)
    session = open_session(db)
    for reviewer, verdict in (("ann", 1), ("bob", 0)):
        session.answer("q0", "p00", verdict, reviewer, None)
        session.answer("q0", "p01", 1, reviewer, None)
    session.answer("q0", "p02", 1, "ann", None)
    assert drawn(db, disagreed=True) == {"p00"}
    session.answer("q0", "p00", None, "bob", None)
    with pytest.raises(UserError, match="No correction fits --disagreed"):
        drawn(db, disagreed=True)


def test_a_selection_goes_on_by_itself(db: Path) -> None:
    first = open_session(db, query="mug")
    assert open_session(db, query="mug").draw == first.draw
    whole = open_session(db)
    assert whole.draw != first.draw
    assert open_session(db, query="mug").draw == first.draw
    assert open_session(db).draw == whole.draw


@pytest.mark.parametrize(
    "conditions",
    [{"query": "sofa"}, {"reason": "none"}, {"category": "x' OR 1=1 --"}, {"around": -1.0}],
)
def test_a_selection_without_a_correction_is_named(db: Path, conditions: dict[str, object]) -> None:
    option = f"--{next(iter(conditions))}"
    with pytest.raises(UserError, match=f"No correction fits {option}"):
        open_session(db, **conditions)


@pytest.mark.parametrize("around", [1.5, -2.0, float("nan"), float("inf")])
def test_a_score_is_between_minus_one_and_one(around: float) -> None:
    with pytest.raises(UsageError, match="--around must be a score between -1 and 1"):
        Selection(around=around)
