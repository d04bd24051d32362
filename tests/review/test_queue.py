from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.common.statistics import wilson_interval
from genfilt.filter.lower_candidates import LowerCandidates
from genfilt.inspect.review import draw_sample, reviewed_precision
from genfilt.review.cards import load_card
from genfilt.review.queue import MAX_NEEDED, answers_needed
from genfilt.review.session import ReviewSession
from genfilt.store.store import Store
from tests.described_shop import judge
from tests.review.review_shop import Pair, open_session, write_shop

SPLITS = ("val", "val", "test")
FLIP = """
UPDATE {table} SET {column} = 1 - {column} WHERE split <> 'train'
"""


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb")


def pairs(session: ReviewSession, reviewer: str = "ann") -> list[Pair]:
    return [(item.query_id, item.product_id) for item in session.queue(reviewer)[0]]


def test_a_second_reviewer_sees_first_what_the_first_has_not_answered(db: Path) -> None:
    session = open_session(db)
    order = pairs(session)
    for pair in order[:4]:
        session.answer(*pair, 1, "ann", None)
    assert pairs(session, "ann") == order  # nothing moves while one answers
    assert pairs(session, "bob") == order[4:] + order[:4]
    session.answer(*order[0], None, "ann", None)  # withdrawn: open for everyone
    assert pairs(session, "bob") == [order[0], *order[4:], *order[1:4]]
    items, _ = session.queue("bob")
    assert [item.mine for item in items] == [None] * 30
    assert sum(item.others for item in items) == 3


def test_agreement_counts_pairs_with_two_reviewers(db: Path) -> None:
    session = open_session(db)
    first, second, third, *_ = pairs(session)
    for pair in (first, second, third):
        session.answer(*pair, 1, "ann", None)
    session.answer(*first, 1, "bob", None)
    session.answer(*second, 0, "bob", None)
    agreement = session.queue("ann")[1].agreement
    assert (agreement.both, agreement.alike) == (2, 1)
    session.answer(*second, None, "bob", None)
    agreement = session.queue("ann")[1].agreement
    assert (agreement.both, agreement.alike) == (1, 1)


@pytest.mark.parametrize(
    ("relevant", "answered"), [(0, 0), (9, 10), (5, 10), (90, 100), (380, 760)]
)
def test_so_many_answers_more_make_the_interval_narrow(relevant: int, answered: int) -> None:
    needed = answers_needed(relevant, answered)
    share = relevant / answered if answered else 0.9
    low, high = wilson_interval(share, answered + needed)
    assert high - low <= 0.1
    if needed:
        low, high = wilson_interval(share, answered + needed - 1)
        assert high - low > 0.1
    assert answered + needed < MAX_NEEDED


def test_an_unfinished_draw_goes_on_and_a_finished_one_does_not(db: Path) -> None:
    session = open_session(db, size=3)
    drawn = pairs(session)
    assert len(drawn) == 3
    assert pairs(open_session(db)) == drawn
    for pair in drawn:
        session.answer(*pair, 1, "ann", None)
    new = pairs(open_session(db))
    assert len(new) == 27
    assert not set(new) & set(drawn)


def test_a_draw_whose_products_are_gone_does_not_go_on(db: Path) -> None:
    session = open_session(db, size=1)
    ((_, product_id),) = pairs(session)
    with Store(db) as store:
        store.connection.execute("DELETE FROM products WHERE product_id = ?", [product_id])
    assert len(pairs(open_session(db))) == 29


def test_draws_and_cards_do_not_change_with_val_and_test_verdicts(tmp_path: Path) -> None:
    seen = []
    for flipped in (False, True):
        db = write_shop(tmp_path / f"{flipped}.duckdb")
        with Store(db) as store:
            rows = [(f"q{n // 6}", f"p{n:02}") for n in range(36)]
            held_out = [
                {"query_id": q, "product_id": p, "label": n % 2, "split": SPLITS[n % 3]}
                for n, (q, p) in enumerate(rows)
                if n % 5
            ]
            judge(store, "labels", held_out)
            judge(store, "labels", [
                {"query_id": q, "product_id": p, "label": 1, "split": "train"}
                for q, p in rows[::10]
            ])  # fmt: skip
            judge(store, "clicks", [
                {"query_id": "q0", "product_id": "p08", "clicks": 2, "split": "train"},
                # In one of the two shops val and test have these clicks, in the other none.
                *({"query_id": f"q{n}", "product_id": f"p{n + 12}", "clicks": 9, "split": split}
                  for n, split in enumerate(("val", "test", "val")) if flipped),
            ])  # fmt: skip
            if flipped:
                store.connection.execute(FLIP.format(table="labels", column="label"))
            assert store.scalar("SELECT count(*) FROM labels WHERE split <> 'train'") > 20
        session = open_session(db)
        items, progress = session.queue("ann")
        with Store(db, read_only=True) as store:
            cards = [load_card(store, i.query_id, i.product_id, None) for i in items]
        seen.append((items, progress, cards))
        known = {other.product_id for card in cards for other in card.known}
        assert known == {"p08", "p10", "p20", "p00"}
    assert seen[0] == seen[1]


def test_products_of_val_are_neither_drawn_nor_shown_for_equal_ones_of_train(db: Path) -> None:
    with Store(db) as store:
        # A val listing of the same title and picture, with an id that comes first.
        store.connection.execute(
            "INSERT INTO products SELECT 'a' || product_id, title, image, category, 'val', "
            "title_key, image_key FROM products"
        )
        store.connection.execute(
            "INSERT INTO product_no SELECT 'a' || product_id, p, f FROM product_no"
        )
        judge(store, "clicks", [{"query_id": "q0", "product_id": "p08", "split": "train"}])
    session = open_session(db)
    assert all(product.startswith("p") for _, product in pairs(session))
    assert [other.product_id for other in session.card("q0", "p00").known] == ["p08"]


def test_clicks_on_equal_searches_are_added_up(db: Path) -> None:
    with Store(db) as store:
        for table, column in (("queries", "query, query_key"), ("query_no", "q")):
            store.connection.execute(
                f"INSERT INTO {table} SELECT 'q9', {column} FROM {table} WHERE query_id = 'q0'"
            )
        judge(store, "clicks", [
            {"query_id": "q9", "product_id": "p08", "clicks": 4, "split": "train"},
            {"query_id": "q0", "product_id": "p08", "clicks": 3, "split": "train"},
        ])  # fmt: skip
    (known,) = open_session(db).card("q0", "p00").known
    assert (known.product_id, known.clicks, known.source) == ("p08", 7, "click")


def test_a_picture_that_was_not_read_is_none(db: Path) -> None:
    with Store(db) as store:
        store.connection.execute("UPDATE products SET image = 'lost.png' WHERE product_id = 'p07'")
    session = open_session(db)
    assert not session.card("q1", "p07").has_picture
    assert session.card("q0", "p00").has_picture


def test_only_draws_from_all_corrections_are_an_audit(db: Path) -> None:
    narrow = open_session(db, category="clothes")
    for pair in pairs(narrow):
        narrow.answer(*pair, 1, "ann", None)
    with Store(db, read_only=True) as store:
        assert reviewed_precision(store) is None
    whole = open_session(db)
    assert whole.draw == narrow.draw + 1
    for pair in pairs(whole)[:10]:
        whole.answer(*pair, 0, "ann", None)
    with Store(db, read_only=True) as store:
        found = reviewed_precision(store)
    assert found is not None
    assert (found.precision, found.reviewed) == (0.0, 10)


def test_a_database_without_corrections_is_named(tmp_path: Path) -> None:
    db = tmp_path / "empty.duckdb"
    Store(db).close()
    with pytest.raises(UserError, match="has no corrections of the split train to review"):
        open_session(db)


def test_a_draw_of_audit_counts_its_corrections_alone(db: Path) -> None:
    with Store(db) as store:
        store.connection.execute("UPDATE filters SET sigma = 0.65")
        below = store.arrow("SELECT q, f, score FROM qp_candidates WHERE score < 0.65")
        draw_sample(store, 20, lower=LowerCandidates(0.4, below, share=1.0))
    session = open_session(db)
    items, progress = session.queue("ann")
    corrections = [item for item in items if item.correction]
    lower = [item for item in items if not item.correction]
    assert len(corrections) == len(lower) == 10
    assert all((item.score >= 0.65) == item.correction for item in items)
    assert session.remark.startswith("10 of these pairs were drawn from below sigma")
    assert (progress.answered, progress.relevant, progress.needed) == (0, 0, 10)
    for item in (*lower[:3], corrections[0]):
        session.answer(item.query_id, item.product_id, 1, "ann", None)
    _, progress = session.queue("ann")
    assert (progress.answered, progress.relevant, progress.needed) == (4, 1, 9)


def test_a_draw_from_a_selection_says_so(db: Path) -> None:
    session = open_session(db, category="clothes")
    assert session.remark.startswith("Drawn with --category clothes: the share of relevant pairs")
    assert open_session(db).remark == ""
