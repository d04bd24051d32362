from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import genfilt.review.session
from genfilt.common.errors import LockedError, UsageError, UserError
from genfilt.review.selection import Selection
from genfilt.review.session import ReviewSession
from genfilt.store.store import Store, now
from tests.review.review_shop import open_session, serving, stored, write_shop

HOLD = """
import sys
from genfilt.store.store import Store
with Store(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "t.duckdb")


@contextmanager
def another_command(db: Path) -> Iterator[None]:
    """Let another process have the file open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        process.communicate(timeout=60)


def test_an_answer_is_stored_at_once_replaced_and_withdrawn(db: Path) -> None:
    session = open_session(db)
    for verdict in (1, 0, None, 1):
        assert session.answer("q0", "p00", verdict, " ann ", None)
        assert stored(db) == {("q0", "p00", "ann"): verdict}
        items, progress = session.queue("ann")
        assert progress.answered == (verdict is not None)
        assert progress.relevant == (verdict == 1)
        assert [item.mine for item in items if item.product_id == "p00"] == [verdict]
    session.answer("q0", "p00", 0, "bob", None)
    assert stored(db) == {("q0", "p00", "ann"): 1, ("q0", "p00", "bob"): 0}


def test_an_earlier_answer_with_a_time_to_come_gives_way(db: Path) -> None:
    with Store(db) as store:
        later = now() + timedelta(hours=2)
        store.connection.execute(
            "INSERT INTO reviews VALUES ('q0', 'p00', 0, 'ann', NULL, ?)", [later]
        )
    assert open_session(db).answer("q0", "p00", 1, "ann", None)
    assert stored(db) == {("q0", "p00", "ann"): 1}


def test_answers_wait_in_a_journal_while_another_command_has_the_file(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genfilt.review.session, "PATIENCE", 0.1)
    session = open_session(db)
    assert session.answer("q0", "p00", 1, "ann", None)
    with another_command(db):
        assert not session.answer("q0", "p00", 0, "ann", None)
        assert not session.answer("q0", "p01", 1, "ann", "a note")
        assert not session.answer("q0", "p01", 0, "ann", "a note")
        assert not session.answer("none", "p01", 0, "ann", None)  # left out when it is applied
        assert session.apply_waiting() == 4
        with pytest.raises(LockedError):
            session.queue("ann")
        with pytest.raises(LockedError):
            session.card("q0", "p00")
    assert session.journal.exists()
    _, progress = session.queue("ann")  # applies them
    assert (progress.answered, progress.waiting) == (2, 0)
    assert not session.journal.exists()
    assert stored(db) == {("q0", "p00", "ann"): 0, ("q0", "p01", "ann"): 0}


def test_the_next_start_applies_what_waits(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genfilt.review.session, "PATIENCE", 0.1)
    session = open_session(db)
    with another_command(db):
        assert not session.answer("q0", "p00", 1, "", None)
    assert stored(db) == {}
    open_session(db)
    assert stored(db) == {("q0", "p00", ""): 1}
    assert not session.journal.exists()


def test_sql_reads_beside_the_server(db: Path) -> None:
    session = open_session(db)
    with serving(session):
        session.answer("q0", "p00", 1, "ann", None)
        done = subprocess.run(
            [sys.executable, "-c", "from genfilt.cli.app import main; main()", "sql",
             "--db", str(db), "--format", "csv", "SELECT product_id, verdict FROM reviews"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()) == (0, ["product_id,verdict", "p00,1"])
        with Store(db, read_only=True):  # another reader does not keep cards away
            assert session.card("q0", "p00").title == "Acme red hoodie"


def test_a_filter_run_beside_the_server_may_have_the_file(db: Path) -> None:
    session = open_session(db)
    session.queue("")
    with Store(db) as store:  # would fail while the session had the file open
        assert store.scalar("SELECT count(*) FROM samples") == 30


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)//{product_id}", "https://shop/p", "shop/{product_id}", ""]
)
def test_a_link_that_is_no_product_page_is_refused(db: Path, link: str) -> None:
    with pytest.raises(UsageError, match="--link must begin with https:// or http:// and contain"):
        ReviewSession(db, None, Selection(), link)


def test_an_id_in_a_link_stays_within_its_place(db: Path) -> None:
    with Store(db) as store:
        for table in ("products", "product_no"):
            store.connection.execute(
                f"UPDATE {table} SET product_id = ? WHERE product_id = 'p06'", ["a/../?b#c d"]
            )
    session = ReviewSession(db, None, Selection(), "https://shop/p/{product_id}.html")
    link = session.card("q1", "a/../?b#c d").link
    assert link == "https://shop/p/a%2F..%2F%3Fb%23c%20d.html"


def test_nothing_to_review_is_reported(tmp_path: Path, db: Path) -> None:
    with Store(db) as store:
        store.connection.execute("DELETE FROM qp_candidates")
    with pytest.raises(UserError, match="no corrections of the split train to review"):
        open_session(db)
