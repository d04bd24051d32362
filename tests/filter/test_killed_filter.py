"""A filter that is killed between vectors, their files and the database: the next run mends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genfilt.store.store import Store
from tests.described_shop import ask, describe

# The command in a process of its own, with small batches. CUT names a function that ends the
# process by SIGKILL when it is called, after doing its work if it is one of AFTER.
PROGRAM = """
import importlib, os, signal, sys
from genfilt.features import embed
embed.MIN_FILE_TEXTS = embed.TEXTS_PER_WRITE = embed.TEXTS_PER_READ = 2
where, name, calls, after = sys.argv[1].split()
if name != "-":
    holder = importlib.import_module(where)
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    whole, left = getattr(holder, last), [int(calls)]
    def killed(*given, **named):
        left[0] -= 1
        found = whole(*given, **named) if left[0] or after == "after" else None
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(holder, last, killed)
from genfilt.cli.app import main
sys.argv = ["genfilt", "filter", "--rule", "paper", "--sigma", "0.3", "--embedder", "static",
            "--image-title-sigma", "0.3", "--db", sys.argv[2]]
main()
"""
UNBROKEN = "- - 0 -"
BLOCKS = "with all blocks"
CUTS = {
    "after some vectors": "genfilt.features.embedder Embedder.encode 3 before",
    "in the file of vectors": "genfilt.features.vector_file VectorWriter.put 2 after",
    "before the file has its name": "genfilt.common.atomic sync 1 after",
    "with the file, before the join": "genfilt.filter.filter fit_rule 1 before",
    BLOCKS: "genfilt.filter.filter forget_candidates 1 before",
    "inside the transaction": "genfilt.filter.candidate_writer CandidateFile.insert 2 after",
}
TABLES = (
    "SELECT q, f, q_i, q_t, cosine, score FROM qp_candidates ORDER BY q, f",
    "SELECT f_image, f_title, i_t FROM it_candidates ORDER BY f_image, f_title",
    "SELECT text_key, vector FROM vectors ORDER BY text_key",
    "SELECT count(*), count(*) FILTER (current) FROM filters",
)


def run(db: Path, cut: str) -> int:
    words = [sys.executable, "-c", PROGRAM, cut, str(db)]
    return subprocess.run(words, capture_output=True, check=False).returncode


def test_blocks_of_a_killed_filter_are_not_computed_again(tmp_path: Path) -> None:
    db = shop(tmp_path)
    assert run(db, CUTS[BLOCKS]) == -signal.SIGKILL
    blocks = {path: path.stat().st_mtime_ns for path in Path(f"{db}.filter").rglob("pairs-*")}
    assert len(blocks) == 2  # one of each join
    assert run(db, CUTS[BLOCKS]) == -signal.SIGKILL
    assert all(path.stat().st_mtime_ns == written for path, written in blocks.items())


def shop(folder: Path) -> Path:
    with Store(folder / "shop.duckdb") as store:
        describe(store)
        ask(store)
        return Path(store.path)


def found(db: Path) -> list[object]:
    with Store(db, read_only=True) as store:
        return [store.rows(sql) for sql in TABLES]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    db = shop(tmp_path_factory.mktemp("unbroken"))
    assert run(db, UNBROKEN) == 0
    return found(db)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_the_next_filter_ends_in_the_tables_of_an_unbroken_one(
    tmp_path: Path, unbroken: list[object], cut: str
) -> None:
    db = shop(tmp_path)
    assert run(db, cut) == -signal.SIGKILL
    with Store(db) as store:
        assert not store.scalar("SELECT count(*) FROM filters"), "half of a filter is there"
    assert run(db, UNBROKEN) == 0
    assert found(db) == unbroken
    kept = sorted(path.name for path in Path(f"{db}.vectors").iterdir())
    kinds = [name.partition("-")[0] for name in kept]
    assert kinds == ["images", "images.stamp", "titles", "titles.stamp"], kept
    assert not Path(f"{db}.filter").exists()


def test_a_file_of_vectors_that_the_database_lost_is_made_again(
    tmp_path: Path, unbroken: list[object]
) -> None:
    """The database is an older one, as after a crash or from a backup."""
    db = shop(tmp_path)
    before = db.read_bytes()
    assert run(db, CUTS["with the file, before the join"]) == -signal.SIGKILL
    assert any(Path(f"{db}.vectors").iterdir())
    db.write_bytes(before)
    Path(f"{db}.wal").unlink(missing_ok=True)
    for file in Path(f"{db}.vectors").iterdir():
        with file.open("r+b") as written:
            written.seek(-1, os.SEEK_END)
            written.write(b"?")
    assert run(db, UNBROKEN) == 0
    assert found(db) == unbroken
