"""Items that are broken end in a table or among the failures, and the rest goes on."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from genfilt.cli.app import app
from genfilt.extract.captions import caption_pictures
from genfilt.extract.titles import extract_attributes
from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.generators.protocols import Failure
from genfilt.generators.registry import GeneratorChoice, Llm, Vlm, open_captioner, open_reader
from genfilt.ingest.columns import unescape
from genfilt.ingest.ingest import ingest
from genfilt.ingest.picture_files import PictureFolders, locate, picture_path
from genfilt.ingest.sources import Sources
from genfilt.store.keys import file_key
from genfilt.store.store import Store
from tests.shop_files import draw, write_csv, write_shop

COLORS = ("red", "navy", "green", "black", "gray", "orange")
HOSTILE_TITLES = {
    "empty": "",
    "blank": " \t ",
    "long": "hoodie " * 1500,
    "one long word": "h" * 10_000,
    "control": "red\x00\x01\x1b[31m\x7f hoodie\r\nwith a line\u2028and another",
    "right to left": "\u202ered hoodie\u202c قميص أحمر שלום",
    "emoji": "red hoodie 🧥👩‍👩‍👧‍👦🏳️‍🌈",
    "sql": "red'); DROP TABLE products; -- hoodie \" ' \\ % _ $1 ? {x}",
    "html": "<script>alert('red hoodie')</script><img src=x onerror=alert(1)>&amp;",
    "combining": "h\u0301\u0301\u0301oodie" + "\u0301" * 500,
    "private": "\ue000\uffff\ufeff hoodie",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "db" / "t.duckdb") as opened:
        yield opened


def catalogue(folder: Path) -> list[tuple[str, str, str]]:
    """Draw a dozen good products that the embedded generators can learn from."""
    rows = []
    for number in range(12):
        color = COLORS[number % len(COLORS)]
        kind = ("Hoodie", "Mug")[number % 2]
        draw(folder / f"g{number}.png", color, size=40 + number)
        rows.append((f"g{number}", f"Acme {color} {kind}", f"g{number}.png"))
    return rows


def take_in(store: Store, rows: list[tuple[str, str, str | None]], images: Path) -> int:
    ids, titles, names = (list(column) for column in zip(*rows, strict=True))
    table = pa.table(
        {"product_id": ids, "title": titles, "image": pa.array(names, pa.string()),
         "split": ["train"] * len(ids)}
    )  # fmt: skip
    return ingest(store, Sources(products=table, images=images))["failed"]


def extract(store: Store, *, retry_failed: bool = False) -> tuple[int, int]:
    """Read titles and describe pictures; return how many items were done and how many failed."""
    with open_reader(store, GeneratorChoice(Llm.lexicon)) as reader:
        read = extract_attributes(store, reader, retry_failed=retry_failed)
    with open_captioner(store, GeneratorChoice(Vlm.neighbours)) as captioner:
        described = caption_pictures(store, captioner, retry_failed=retry_failed)
    return read.done + described.done, read.failed + described.failed


def reasons(store: Store) -> dict[str, str]:
    return dict(store.rows("SELECT item_key, reason FROM failures ORDER BY 1"))


def test_broken_pictures_fail_one_by_one(tmp_path: Path, store: Store, embedder: Embedder) -> None:
    images = tmp_path / "images"
    rows: list[Any] = catalogue(images)
    whole = (images / "g0.png").read_bytes()
    (images / "text.jpg").write_text("this is no picture")
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").write_bytes(b"")
    Image.new("1", (20_000, 20_000)).save(images / "huge.png")
    Image.open(images / "g0.png").convert("L").save(images / "wrong.jpg", "PNG")
    (images / "folder.png").mkdir()
    broken = ("text.jpg", "cut.png", "empty.png", "huge.png")
    rows += [(name, f"Acme red Hoodie {name}", name) for name in (*broken, "wrong.jpg")]
    rows += [("folder", "Acme red Hoodie", "folder.png"), ("none", "Acme red Hoodie", None)]
    assert take_in(store, rows, images) == 1
    assert reasons(store) == {"folder": "missing picture"}
    done, failed = extract(store)
    assert failed == len(broken)
    assert done == store.scalar("SELECT count(*) FROM attributes") + 13
    keys = {file_key(images / name): name for name in broken}
    failures = store.rows("SELECT item_key, reason, detail FROM failures WHERE step = 'caption'")
    assert {keys[key] for key, _, _ in failures} == set(broken)
    assert all(reason for _, reason, _ in failures)
    captioned = "SELECT count(*) FROM products JOIN captions USING (image_key) WHERE product_id = ?"
    assert store.scalar(captioned, ["wrong.jpg"]) == 1
    # Nothing that is finished or failed is taken up by itself.
    assert extract(store) == (0, 0)
    assert extract(store, retry_failed=True) == (0, len(broken))
    assert store.rows("SELECT DISTINCT attempts FROM failures WHERE step = 'caption'") == [(2,)]
    filter_pairs(store, FilterSettings(0.5), embedder)
    # A picture that is replaced is another picture, and what was wrong with the old one is past.
    for name in broken:
        draw(images / name, "red", size=70 + len(name))
    assert take_in(store, rows, images) == 1
    assert extract(store) == (len(broken), 0)


def test_a_picture_that_was_away_for_a_while_is_retried(tmp_path: Path, store: Store) -> None:
    images = tmp_path / "images"
    rows: list[Any] = catalogue(images)
    take_in(store, rows, images)
    away = tmp_path / "away.png"
    (images / "g3.png").rename(away)
    _, failed = extract(store)
    assert failed == 1
    away.rename(images / "g3.png")
    assert extract(store) == (0, 0)
    assert extract(store, retry_failed=True) == (1, 0)
    assert not reasons(store)


def test_titles_of_every_kind_are_read_and_joined(
    tmp_path: Path, store: Store, embedder: Embedder
) -> None:
    images = tmp_path / "images"
    rows: list[Any] = catalogue(images)
    rows += [(name, title, "g0.png") for name, title in HOSTILE_TITLES.items()]
    queries = pa.table(
        {"query_id": ["good", *HOSTILE_TITLES], "query": ["red hoodie", *HOSTILE_TITLES.values()]}
    )
    assert take_in(store, rows, images) == 0
    ingest(store, Sources(queries=queries))
    extract(store)
    made = filter_pairs(store, FilterSettings(0.3), embedder)
    assert made.qp_candidates > 0
    kept = dict(store.rows("SELECT product_id, title FROM products"))
    for name, title in HOSTILE_TITLES.items():
        assert kept[name] == unescape(title)
    corrected = {title for (title,) in store.rows("SELECT title FROM query_product_corrections")}
    hostile = {unescape(HOSTILE_TITLES[name]) for name in ("sql", "html", "emoji")}
    assert hostile <= corrected
    assert store.scalar("SELECT count(*) FROM products") == len(rows)


def test_titles_survive_the_files_that_hold_them(tmp_path: Path, store: Store) -> None:
    titles = {name: t for name, t in HOSTILE_TITLES.items() if name != "control"}
    path = write_csv(tmp_path / "p.csv", "product_id,title", titles.items())
    ingest(store, Sources(products=path))
    kept = {name: unescape(title) for name, title in titles.items()}
    assert dict(store.rows("SELECT product_id, title FROM products")) == kept


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "../../etc/hostname", "/etc/hostname", "sub/../../secret.png", "link.png",
     "folder/secret.png", "loop", "images/../secret.png", "a" * 5000 + ".png", "a\x00.png", ".",
     "..", "/", "//", "~/secret.png"],
)  # fmt: skip
def test_nothing_outside_the_pictures_folder_is_read(tmp_path: Path, name: str) -> None:
    images = tmp_path / "images"
    draw(tmp_path / "outside" / "secret.png", "red")
    draw(tmp_path / "secret.png", "red")
    images.mkdir()
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "folder").symlink_to(tmp_path / "outside")
    (images / "loop").symlink_to(images / "loop")
    assert isinstance(locate(name, images), Failure)
    places = PictureFolders(images, tmp_path / "db" / "pictures", tmp_path / "fetched")
    assert isinstance(picture_path(name, places), Failure)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert locate("b.png", tmp_path) == tmp_path / "a.png"


def test_our_own_folders_lead_nowhere_else(tmp_path: Path) -> None:
    """A row may name a picture that we wrote, by its key, and nothing beside it."""
    images, ours = tmp_path / "images", tmp_path / "db" / "pictures"
    images.mkdir()
    ours.mkdir(parents=True)
    draw(tmp_path / "db" / "secret.png", "red")
    places = PictureFolders(images, ours)
    for name in ("..", "../secret.png", "secret.png", ""):
        assert isinstance(picture_path(f"{ours}/{name}", places), Failure)


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert isinstance(locate("pipe.png", tmp_path), Failure)  # and nothing waits for a writer


def test_a_run_with_failures_ends_with_three(tmp_path: Path) -> None:
    files = write_shop(tmp_path)
    (Path(files["images"]) / "p2.png").write_bytes(b"broken")
    (Path(files["images"]) / "p3.png").unlink()
    db = ["--db", str(tmp_path / "t.duckdb")]
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    runner = CliRunner()
    assert runner.invoke(app, ["ingest", *words, *db]).exit_code == 3
    done = runner.invoke(app, ["extract", *db])
    assert done.exit_code == 3, done.output
    assert "1 failed" in done.stderr
    assert runner.invoke(app, ["extract", *db]).exit_code == 0
    assert runner.invoke(app, ["extract", "--retry-failed", *db]).exit_code == 3
    draw(Path(files["images"]) / "p3.png", "red")
    draw(Path(files["images"]) / "p2.png", "navy")
    assert runner.invoke(app, ["ingest", "--images", files["images"], *db]).exit_code == 0
    assert runner.invoke(app, ["extract", *db]).exit_code == 0
    with Store(tmp_path / "t.duckdb") as store:
        assert not store.rows("SELECT * FROM failures WHERE step = 'ingest'")


def test_a_full_disk_stops_plainly_and_loses_nothing(tmp_path: Path) -> None:
    files = write_shop(tmp_path)
    db = tmp_path / "t.duckdb"
    words = [word for name, path in files.items() for word in (f"--{name}", path)]

    def genfilt(*command: str, room: int | None = None) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if room is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        line = [sys.executable, "-c", "from genfilt.cli.app import main; main()", *command]
        return subprocess.run(
            [*line, "--db", str(db)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
        )

    assert genfilt("ingest", *words).returncode == 0
    with Store(db) as store:
        before = store.rows("FROM queries ORDER BY ALL")
        store.connection.execute("CHECKPOINT db")
    many = write_csv(
        tmp_path / "many.csv", "product_id,title", [(f"n{n}", f"{n:032}") for n in range(20_000)]
    )
    full = genfilt("ingest", "--products", many, room=300_000)
    assert full.returncode == 1, full.stderr
    assert "The disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    with Store(db) as store:
        assert store.rows("FROM queries ORDER BY ALL") == before
        assert store.scalar("SELECT count(*) FROM products") == 5
    assert genfilt("ingest", "--products", many).returncode == 0
    with Store(db, read_only=True) as store:
        assert store.scalar("SELECT count(*) FROM products") == 20_005
