"""The served page of a sheet: grades on disk at once, blind, for this page alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError, UserError
from tests.review.review_shop import Visitor, serving_page
from tests.trainer.human_eval.judged_sheets import HOSTILE
from tests.trainer.shop import draw
from trainer.human_eval.judge_server import JudgeServer
from trainer.human_eval.judgements import Judgements, read_judgements
from trainer.human_eval.sheet import ShownProduct, answers_of, check_sheet, write_sheet


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A sheet of three queries with two products each; one has no picture, one a torn one."""
    ring, torn = draw(tmp_path / "ring.jpg", "red", "ring"), tmp_path / "torn.jpg"
    torn.write_bytes(ring.read_bytes()[:200])
    images = (str(ring), None, str(ring), str(torn), "/etc/passwd", "/dev/zero")
    rows = [
        ShownProduct(f"{n}bcdf", HOSTILE[n // 2], f"ring {n}", image)
        for n, image in enumerate(images)
    ]
    write_sheet(rows, tmp_path / "judge.csv")
    return tmp_path / "judge.csv"


@pytest.fixture
def server(sheet: Path) -> Iterator[JudgeServer]:
    server = JudgeServer(sheet, 0)
    with serving_page(server):
        yield server


@pytest.fixture
def visitor(server: JudgeServer) -> Visitor:
    visitor = Visitor(server)
    visitor.enter(server.app.token)
    return visitor


def grade(
    visitor: Visitor, row: object, verdict: object, judge: object = "ann", **headers: str
) -> HTTPResponse:
    body = json.dumps({"row": row, "verdict": verdict, "judge": judge}).encode()
    return visitor.answer(body, **headers)[0]


def test_each_grade_is_on_disk_and_the_latest_counts(sheet: Path, visitor: Visitor) -> None:
    assert grade(visitor, "0bcdf", 0).status == 200
    assert answers_of(sheet).read_bytes().count(b"\n") == 1
    for row, verdict, judge in (("0bcdf", 2, "ann"), ("1bcdf", 1, "ann"), ("0bcdf", 1, " Zoë ")):
        assert grade(visitor, row, verdict, judge).status == 200
    assert grade(visitor, "1bcdf", None).status == 200  # withdrawn
    found = {(one.row, one.judge, one.grade) for one in read_judgements(answers_of(sheet))}
    assert found == {("0bcdf", "ann", 2), ("0bcdf", "Zoë", 1)}
    _, body = visitor.ask("/api/queue?person=ann")
    assert [item["mine"] for item in json.loads(body)["items"]] == [2, None, None, None, None, None]
    _, body = visitor.ask("/api/queue?person=bob")
    assert {item["mine"] for item in json.loads(body)["items"]} == {None}


def test_a_line_that_a_crash_cut_off_costs_no_other(sheet: Path) -> None:
    path = answers_of(sheet)
    Judgements(path).append("0bcdf", "ann", 0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    Judgements(path).append("1bcdf", "ann", 2)
    with path.open("ab") as file:
        file.write(b'[]\n{"row": 1}\n{"row": "0bcdf", "judge": "ann", "verdict": "Good"}\n\xff\n')
        file.write(b'{"row": "0bcdf", "judge": "ann", "verdict": ["Bad"]}\n')
    assert Judgements(path).latest() == {"ann": {"0bcdf": 0, "1bcdf": 2}}
    with pytest.raises(UserError, match="There are no judgements in"):
        read_judgements(sheet.with_name("none.jsonl"))


def test_what_the_page_gets_names_no_file_and_no_model(sheet: Path, visitor: Visitor) -> None:
    sheet.with_name("judge.key.json").write_text('{"models": ["secret-one", "secret-two"]}')
    for path in ("/", "/api/queue?person=ann", "/static/judge.js", "/static/page.js"):
        response, body = visitor.ask(path)
        assert response.status == 200
        assert b"secret" not in body
        assert str(sheet.parent).encode() not in body
        assert b"<script>alert" not in body or path.startswith("/api")
    _, body = visitor.ask("/api/queue?person=ann")
    names = {name for item in json.loads(body)["items"] for name in item}
    assert names == {"row", "query", "title", "picture", "mine"}


def test_pictures_are_those_of_the_sheet_alone(sheet: Path, visitor: Visitor) -> None:
    _, body = visitor.ask("/api/queue?person=")
    pictures = [item["picture"] for item in json.loads(body)["items"]]
    assert pictures == ["0", None, "0", "1", "2", "3"]
    assert visitor.ask("/picture?picture=0")[0].getheader("content-type") == "image/jpeg"
    for number in ("1", "2", "3", "4", "-1", "", "0bcdf", "..%2fring.jpg", str(sheet.parent)):
        assert visitor.ask(f"/picture?picture={number}")[0].status == 404


@pytest.mark.parametrize(
    ("row", "verdict", "judge"),
    [
        ("0bcdf", 0, ""),
        ("0bcdf", 0, "  "),
        ("0bcdf", 0, "a" * 81),
        ("0bcdf", 0, None),
        ("0bcdf", 0, "\ud800"),
        ("0bcdf", 0, "a\nb"),
        ("0bcdf", 3, "ann"),
        ("0bcdf", -1, "ann"),
        ("0bcdf", True, "ann"),
        ("0bcdf", 1.0, "ann"),
        ("0bcdf", "Bad", "ann"),
        ("none", 0, "ann"),
        (["0bcdf"], 0, "ann"),
        (None, 0, "ann"),
    ],
)
def test_what_is_no_grade_is_refused(
    sheet: Path, visitor: Visitor, row: object, verdict: object, judge: object
) -> None:
    assert grade(visitor, row, verdict, judge).status == 400
    assert not answers_of(sheet).exists()


def test_other_pages_and_hosts_are_refused(server: JudgeServer, visitor: Visitor) -> None:
    assert grade(Visitor(server), "0bcdf", 0).status == 403
    assert grade(visitor, "0bcdf", 0, origin="http://evil.example").status == 403
    assert grade(visitor, "0bcdf", 0, host=f"evil.example:{server.port}").status == 400
    assert visitor.ask("/static/..%2fjudge_server.py")[0].status == 404
    stranger, text = Visitor(server).ask("/api/queue?person=ann")
    assert (stranger.status, text) == (403, b"Open the address that trainer judge serve printed.")
    assert not server.answers.exists()


def test_a_judged_sheet_is_not_overwritten_without_a_word(sheet: Path) -> None:
    check_sheet(sheet)
    Judgements(answers_of(sheet)).append("0bcdf", "ann", 0)
    with pytest.raises(UsageError, match="--overwrite"):
        check_sheet(sheet)
    check_sheet(sheet, overwrite=True)
    write_sheet([ShownProduct("0bcdf", "mug", "mug", None)], sheet)
    assert not answers_of(sheet).exists()  # the grade was of another product


def test_a_file_that_is_no_sheet_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        JudgeServer(tmp_path / "none.csv", 0)
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no column 'row'; give the CSV file that"):
        JudgeServer(tmp_path / "own.csv", 0)
