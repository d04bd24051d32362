"""Blind sheets: what they show and hide, and the numbers that filled ones give."""

import csv
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from genfilt.common.errors import UsageError, UserError
from genfilt.common.sheets import read_rows
from tests.trainer.hostile_pictures import png_header
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.cli.app import app
from trainer.config import preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.human_eval.agreement import agreement, fleiss
from trainer.human_eval.blind_draw import Draw, Key, KeyRow, export_sheet
from trainer.human_eval.preference import summarize
from trainer.human_eval.sheet import (
    GRADES,
    Judgement,
    ShownProduct,
    check_sheet,
    read_sheet,
    write_sheet,
)
from trainer.model.query_life import QueryLife
from trainer.serving.relevance_model import RelevanceModel, load

HOSTILE = (
    '=HYPERLINK("http://127.0.0.1","x")',
    '<script>alert(1)</script><img src=x onerror="alert(1)">',
    "{{ rows }}\u202egnp.exe\x00",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders = []
    for seed, name in enumerate(("secret-one", "secret-two")):
        torch.manual_seed(seed)
        model = QueryLife.build(preset("tiny", 2).model)
        folders.append(tmp_path_factory.mktemp("models") / name)
        RelevanceModel(model).save_pretrained(folders[-1])
    return folders[0], folders[1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("shop"))


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, verdicts: Sequence[str], to: Path, judge: str = "") -> Path:
    """Fill a sheet as a spreadsheet program of another country saves it."""
    rows = [
        row | {"verdict": verdict, "judge": judge}
        for row, verdict in zip(lines(path), verdicts, strict=True)
    ]
    with to.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return to


def test_the_key_holds_each_models_best_products_of_the_whole_catalogue(
    models: tuple[Path, Path], shop: Path, tmp_path: Path
) -> None:
    made = export_sheet(models, shop, tmp_path / "sheet.csv", Draw(queries=5, top=4))
    key = Key.read(made.key)
    rows = {row["row"]: row for row in lines(tmp_path / "sheet.csv")}
    assert list(rows) == [row.row for row in key.rows]
    assert made.rows == len(rows) == len({(r.query_id, r.product_id) for r in key.rows})
    with open_database(shop) as connection:
        catalogue = load_catalogue(connection)
    names, titles = catalogue.product_ids.to_pylist(), catalogue.titles.to_pylist()
    for side, folder in enumerate(models):
        model = load(folder)
        products = model.encode_product(titles, catalogue.images.to_pylist())
        for query_id in {row.query_id for row in key.rows}:
            chosen = {
                row.ranks[side]: row.product_id
                for row in key.rows
                if row.query_id == query_id and row.ranks[side] is not None
            }
            query = query_id.removeprefix("q-").replace("-", " ")
            best = np.argsort(-(products @ model.encode_query([query])[0]), kind="stable")[:4]
            assert chosen == {n + 1: names[p] for n, p in enumerate(best)}
    for row in key.rows:
        assert rows[row.row]["title"] == titles[names.index(row.product_id)]
        assert rows[row.row]["query"] == row.query_id.removeprefix("q-").replace("-", " ")


def test_the_sheet_shows_nothing_of_the_models(
    models: tuple[Path, Path], shop: Path, tmp_path: Path
) -> None:
    export_sheet(models, shop, tmp_path / "sheet.csv", Draw(queries=12, top=6))
    key = Key.read(tmp_path / "sheet.key.json")
    for name in ("sheet.csv", "sheet.html"):
        assert "secret" not in (tmp_path / name).read_text("utf-8")
    place = np.arange(len(key.rows))
    for side in (0, 1):
        chosen = np.array([row.ranks[side] is not None for row in key.rows])
        ranks = np.array([row.ranks[side] for row in key.rows if row.ranks[side]])
        assert abs(np.corrcoef(place, chosen)[0, 1]) < 0.4
        assert abs(np.corrcoef(place[chosen], ranks)[0, 1]) < 0.4
    export_sheet(models[::-1], shop, tmp_path / "other.csv", Draw(queries=12, top=6))
    other = Key.read(tmp_path / "other.key.json")
    assert (tmp_path / "other.csv").read_bytes() == (tmp_path / "sheet.csv").read_bytes()
    assert [row.ranks[::-1] for row in other.rows] == [row.ranks for row in key.rows]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


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
    assert text.count("no picture") == 2
    tags = Tags()
    tags.feed(text)
    assert {tag for tag, _ in tags.seen}.isdisjoint({"script", "link", "iframe", "object"})
    pictures = [values for tag, values in tags.seen if tag == "img"]
    assert [str(values["src"])[:23] for values in pictures] == ["data:image/jpeg;base64,"]
    assert not any(name.startswith("on") for _, values in tags.seen for name in values)
    assert "http" not in text.replace("http-equiv", "").replace("http://127.0.0.1", "")


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


def random_key(rng: np.random.Generator, queries: int) -> Key:
    rows = []
    for q in range(queries):
        for n in range(12):
            ranks = ((n + 1 if n < 8 else None), (n - 3 if n >= 4 else None))
            rows.append(KeyRow(f"{q}x{n}", f"q{q}", f"p{int(rng.integers(99))}", ranks))
    return Key(("a", "b"), rows)


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


def test_faults_of_the_command_are_one_sentence(models: tuple[Path, Path], tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.product("a", "ring")
    sheet = tmp_path / "sheet.csv"
    with pytest.raises(UserError, match="has no query with a click or label of the split"):
        export_sheet(models, tmp_path / "shop.duckdb", sheet, Draw())
    with pytest.raises(UsageError, match="give two different folders"):
        export_sheet((models[0], models[0]), tmp_path / "shop.duckdb", sheet, Draw())
    with pytest.raises(UsageError, match="--split must be one of .*, got 'all'"):
        Draw(split="all")
    with pytest.raises(UsageError, match="--top must be 1 or more, got 0"):
        Draw(top=0)
    sheet.write_text("[]")
    with pytest.raises(UserError, match="is not the key of a sheet"):
        Key.read(sheet)


def test_from_the_models_to_the_table(
    models: tuple[Path, Path], shop: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "judge.csv"
    options = ["--db", str(shop), "--to", str(sheet), "--queries", "6", "--top", "3"]
    done = CliRunner().invoke(app, ["judge", "export", *map(str, models), *options])
    assert done.exit_code == 0, done.output
    key = Key.read(tmp_path / "judge.key.json")
    verdicts = ["Excellent" if row.ranks[0] else "Bad" for row in key.rows]
    ann = fill(sheet, verdicts, tmp_path / "ann.csv")
    bob = fill(sheet, verdicts, tmp_path / "bob.csv")
    asked = ["judge", "import", str(ann), str(bob), "--key", str(tmp_path / "judge.key.json")]
    done = CliRunner().invoke(app, [*asked, "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["shares"][0]["first"] == 1.0
    assert found["shares"][0]["difference"] == pytest.approx(found["shares"][2]["second"])
    assert found["agreement"] == [
        {"judges": "ann and bob", "rows": len(key.rows), "same grade": 1.0, "kappa": 1.0}
    ]
    assert found["models"] == {"first": str(models[0]), "second": str(models[1])}
    done = CliRunner().invoke(app, asked)
    assert done.stdout.splitlines()[0].split() == [
        *("grade", "first", "second", "difference", "low", "high")
    ]
    assert "kappa 1.000" in done.stderr


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


def test_a_picture_too_large_to_read_is_named_and_ends_in_3(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(100_000, 100_000))
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "ring")
        shop.product("a", "ring", draw(tmp_path / "a.jpg", "red", "ring"), split="val")
        shop.product("big", "large ring", tmp_path / "huge.png", split="val")
        shop.label("q", "a", 1, "val")
    words = ["judge", "export", *map(str, models), "--db", str(tmp_path / "shop.duckdb")]
    done = CliRunner().invoke(app, [*words, "--to", str(tmp_path / "judge.csv")])
    assert done.exit_code == 3, done.output
    assert "The pictures of big cannot be read" in done.stderr
    assert len(lines(tmp_path / "judge.csv")) == 2
    assert "no picture" in (tmp_path / "judge.html").read_text("utf-8")
