"""The sheet that people fill in."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genfilt.common.errors import UsageError, UserError
from genfilt.common.html import plain
from genfilt.common.sheets import read_rows
from tests.trainer.human_eval.judged_sheets import HOSTILE, Tags, fill, lines
from tests.trainer.shop import draw
from trainer.cli.app import app
from trainer.human_eval.blind_draw import Draw, export_sheet
from trainer.human_eval.sheet import (
    ShownProduct,
    check_sheet,
    read_sheet,
    write_sheet,
)


def test_hostile_text_stays_text_and_the_page_stands_alone(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.jpg", "red", "ring")
    torn = tmp_path / "b.jpg"
    torn.write_bytes(picture.read_bytes()[:200])
    images = (str(picture), str(torn), None)
    rows = [
        ShownProduct(f"{n}bcdf", HOSTILE[n], title, images[n]) for n, title in enumerate(HOSTILE)
    ]
    page = write_sheet(rows, tmp_path / "sheet.csv")
    read = lines(tmp_path / "sheet.csv")
    assert [row["title"] for row in read] == [f"'{HOSTILE[0]}", *HOSTILE[1:]]
    text = page.read_text("utf-8")
    assert "\u202e" not in text
    tags = Tags()
    tags.feed(text)
    assert [tag for tag, _ in tags.seen].count("script") == 2  # the data, and the page's own
    assert {tag for tag, _ in tags.seen}.isdisjoint({"img", "iframe", "object"})
    assert not any(name.startswith("on") for _, values in tags.seen for name in values)
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    data = json.loads(match[1])
    assert [item["row"] for item in data["items"]] == ["0bcdf", "1bcdf", "2bcdf"]
    assert [item["title"] for item in data["items"]] == [plain(title, 500) for title in HOSTILE]
    assert [item["picture"] for item in data["items"]] == ["0", "1", None]
    assert data["pictures"]["0"].startswith("data:image/jpeg;base64,")
    assert data["pictures"]["1"] is None  # torn


def test_a_filled_sheet_is_read_as_people_save_it(tmp_path: Path) -> None:
    write_sheet([ShownProduct(f"{n}b", "q", "a, b; c", None) for n in range(5)], tmp_path / "s.csv")
    path = fill(tmp_path / "s.csv", ["Excellent", " fair", "B", "", "e"], tmp_path / "ann.csv")
    answers = read_sheet(path)
    assert [(a.row, a.judge, a.grade) for a in answers] == [
        ("0b", "ann", 0),
        ("1b", "ann", 1),
        ("2b", "ann", 2),
        ("4b", "ann", 0),
    ]
    named = fill(tmp_path / "s.csv", ["Bad"] * 5, tmp_path / "x.csv", judge="Bob")
    assert {answer.judge for answer in read_sheet(named)} == {"Bob"}
    wrong = fill(tmp_path / "s.csv", ["Bad", "Good", "", "", ""], tmp_path / "y.csv")
    with pytest.raises(UserError, match="row 1b must be Excellent, Fair, Bad or empty, got 'Good'"):
        read_sheet(wrong)
    (tmp_path / "z.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no column 'row'"):
        read_sheet(tmp_path / "z.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_sheet(tmp_path / "none.csv")


def test_a_line_break_in_a_title_starts_no_row(tmp_path: Path) -> None:
    for number, end in enumerate(("\r", "\n", "\r\n", "\u2028", "\v")):
        sheet = tmp_path / f"{number}.csv"
        write_sheet([ShownProduct("1b", "q", f"mug{end}=1+1", None)], sheet)
        content = sheet.read_bytes()
        assert b"\r" not in content
        assert len(content.decode("utf-8-sig").splitlines()) == 2
        assert [row["title"] for row in read_rows(sheet)] == [
            "mug =1+1" if end != "\r\n" else "mug  =1+1"
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_is_read_as_spreadsheets_save_it(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    path = tmp_path / "Zoë.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(["Row", "query", "title", "image", " Verdict ", "judge", "note"])
        writer.writerow(["1b", "café; rouge", "'=1", "", "fair", "Jürgen", "two\nlines"])
        writer.writerow(["2b", "q", "t"])  # a program may cut empty cells off
    (answer,) = read_sheet(path)
    assert (answer.row, answer.judge, answer.grade) == ("1b", "Jürgen", 1)
    assert read_rows(path)[0]["title"] == "=1"


def test_a_filled_sheet_is_not_overwritten_without_a_word(
    models: tuple[Path, Path], shop: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "judge.csv"
    options = ["--db", str(shop), "--to", str(sheet), "--queries", "1", "--top", "1"]
    words = ["judge", "export", *map(str, models), *options]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, words).exit_code == 0  # nothing is filled in yet
    fill(sheet, ["Fair"] * len(lines(sheet)), sheet)
    before = sheet.read_bytes(), (tmp_path / "judge.key.json").read_bytes()
    for other in (sheet, tmp_path / "notes.txt"):
        with pytest.raises(UsageError, match="--to"):
            export_sheet(models, shop, other, Draw(queries=1, top=1))
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="another file"):
        check_sheet(tmp_path / "own.csv")
    assert (sheet.read_bytes(), (tmp_path / "judge.key.json").read_bytes()) == before
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    assert not read_sheet(sheet)
