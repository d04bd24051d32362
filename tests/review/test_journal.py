from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.review.answers import ReviewAnswer
from genfilt.review.journal import Journal
from genfilt.store.store import Store
from tests.review.review_shop import stored, write_shop

NOTE = "line\u2028break \x85 and \x1c, \u202e and \U0001f9e5\nend"


def answer(
    product: str = "p00", verdict: int | None = 1, at: str = "2026-01-02T03:04:05"
) -> ReviewAnswer:
    return ReviewAnswer("q0", product, verdict, "ann", at, NOTE)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb")


def test_a_journal_applied_twice_changes_nothing(db: Path) -> None:
    journal = Journal(db)
    journal.append(answer(verdict=1, at="2026-01-02T03:04:05"))
    journal.append(answer(verdict=0, at="2026-01-02T03:04:06"))
    journal.append(answer("p01"))
    content = journal.path.read_bytes()
    with Store(db) as store:
        assert journal.apply(store) == 3
        once = store.rows("FROM reviews ORDER BY ALL")
        assert len(once) == 2
        assert journal.apply(store) == 0
        # As after a crash between the commit and the removal of the journal.
        journal.path.write_bytes(content)
        assert journal.apply(store) == 3
        assert store.rows("FROM reviews ORDER BY ALL") == once
        # Nor does it overrule what was answered since.
        store.connection.execute(
            "UPDATE reviews SET verdict = 1, \"at\" = '2026-02-01' WHERE product_id = 'p00'"
        )
        journal.path.write_bytes(content)
        journal.apply(store)
    assert stored(db) == {("q0", "p00", "ann"): 1, ("q0", "p01", "ann"): 1}


def test_texts_come_back_as_they_were(db: Path) -> None:
    journal = Journal(db)
    journal.append(answer())
    assert journal.path.read_bytes().count(b"\n") == 1
    assert journal.read() == [answer()]


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_line_that_a_crash_cut_off_costs_no_other(db: Path, kept: int) -> None:
    journal = Journal(db)
    journal.append(answer("p00"))
    journal.append(answer("p01"))
    first, second, _ = journal.path.read_bytes().split(b"\n")
    journal.path.write_bytes(first + b"\n" + second[:kept])
    assert journal.read() == [answer("p00")]
    journal.append(answer("p02"))
    assert journal.read() == [answer("p00"), answer("p02")]
    with Store(db) as store:
        assert journal.apply(store) == 2
    assert set(stored(db)) == {("q0", "p00", "ann"), ("q0", "p02", "ann")}


def test_lines_that_are_no_answers_are_left_out(db: Path) -> None:
    right = {
        "query_id": "q0", "product_id": "p00", "verdict": 1, "reviewer": "", "at": "2026-01-02",
    }  # fmt: skip
    wrong: list[object] = [
        [], None, 1, {}, right | {"verdict": 7}, right | {"verdict": True}, right | {"at": "soon"},
        right | {"at": 3}, right | {"query_id": 1}, right | {"note": 1}, right | {"more": 1},
        right | {"reviewer": "\ud800"},
    ]  # fmt: skip
    lines = [json.dumps(line).encode() for line in wrong]
    lines += [b"\xff\xfe", b"[" * 100_000, b"\x00", b""]
    journal = Journal(db)
    journal.path.write_bytes(b"\n".join([*lines, json.dumps(right).encode(), b""]))
    with Store(db) as store:
        assert journal.apply(store) == 1
    assert stored(db) == {("q0", "p00", ""): 1}


def test_an_answer_between_reading_and_removing_is_not_lost(db: Path) -> None:
    """Two servers of one database: one applies while the other appends."""
    journal, other = Journal(db), Journal(db)
    journal.append(answer("p00"))
    appending = threading.Thread(target=other.append, args=[answer("p01")])

    with Store(db) as store:
        with journal.lines.locked("r+b") as file:
            assert file is not None
            appending.start()
            appending.join(0.2)
            assert appending.is_alive()  # waits for the lock
            journal.path.unlink()
        appending.join(20)
        assert other.read() == [answer("p01")]  # in a new file
        assert journal.apply(store) == 1


def test_a_journal_that_cannot_be_written_is_reported(db: Path) -> None:
    journal = Journal(db)
    journal.path.mkdir()
    with pytest.raises(UserError, match="The answer is not saved: .* cannot be written"):
        journal.append(answer())
