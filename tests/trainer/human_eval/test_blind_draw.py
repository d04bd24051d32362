"""The blind draw of two models' products."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genfilt.common.errors import UsageError, UserError
from tests.trainer.hostile_pictures import png_header
from tests.trainer.human_eval.judged_sheets import fill, lines
from tests.trainer.shop import Shop, draw
from trainer.cli.app import app
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.human_eval.blind_draw import Draw, Key, export_sheet
from trainer.serving.relevance_model import load


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
    assert re.search(r'"\d": null', (tmp_path / "judge.html").read_text("utf-8"))
