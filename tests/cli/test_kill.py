"""SIGKILL at any moment, then a rerun: the result of an undisturbed run, nothing done twice."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from genfilt.common.errors import UserError
from genfilt.store.store import Store
from tests.cli import killed_pipeline
from tests.shop_files import draw, write_csv

KILLS = 20
KILLS_A_DATABASE = 4
PATIENCE = 300  # seconds until a run counts as hung

TITLES = ("Acme {} Hoodie", "Borel {} Mug", "Corvo {} Kettle 2 L", "Acme {} Cotton Shirt")
COLORS = ("red", "navy", "green", "gray", "black")

# All that a run leaves behind but its times, in an order that two runs share. Vectors are compared
# where they show: a batch that is cut elsewhere may round a last bit otherwise.
RESULT = {
    "products": "FROM products ORDER BY ALL",
    "queries": "FROM queries ORDER BY ALL",
    "clicks": "FROM clicks ORDER BY ALL",
    "attributes": "SELECT * EXCLUDE created_at FROM attributes ORDER BY ALL",
    "captions": "SELECT * EXCLUDE created_at FROM captions ORDER BY ALL",
    "failures": "SELECT * EXCLUDE (last_at, attempts) FROM failures ORDER BY ALL",
    "generators": "SELECT generator, state, products FROM generator_states ORDER BY ALL",
    "numbers": "FROM query_no JOIN product_no ON true ORDER BY ALL",
    "features": "FROM features ORDER BY ALL",
    "vectors": "SELECT embedder, text_key FROM vectors ORDER BY ALL",
    "filters": "SELECT * EXCLUDE created_at FROM filters ORDER BY ALL",
    "candidates": "SELECT q, f, round(score, 5) FROM qp_candidates ORDER BY ALL",
    "titles": "SELECT f_image, f_title, round(i_t, 5) FROM it_candidates ORDER BY ALL",
    "positives": "FROM positives ORDER BY ALL",
}
FINISHED = {
    "attributes": "FROM attributes ORDER BY ALL",
    "captions": "FROM captions ORDER BY ALL",
    "generators": "FROM generator_states ORDER BY ALL",
    "vectors": "SELECT embedder, text_key, hash(vector) FROM vectors ORDER BY ALL",
}

STATUSES = "SELECT DISTINCT status FROM runs"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A shop with one picture that cannot be read."""
    folder = tmp_path_factory.mktemp("shop")
    products, queries = [], []
    for row, title in enumerate(TITLES):
        for column, color in enumerate(COLORS):
            name = f"p{row}{column}"
            draw(folder / "images" / f"{name}.png", color, size=48 + 8 * row)
            products.append((name, title.format(color.title()), f"{name}.png", "", "train"))
        queries.append((f"q{row}", f"{COLORS[row]} {title.split()[2].lower()}"))
    (folder / "images" / "p00.png").write_bytes(b"no picture")
    return {
        "products": write_csv(
            folder / "products.csv", "product_id,title,image,category,split", products
        ),
        "queries": write_csv(folder / "queries.csv", "query_id,query", queries),
        "clicks": write_csv(folder / "clicks.csv", "query_id,product_id", [("q0", "p01")]),
        "images": str(folder / "images"),
    }


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([killed_pipeline.__name__])
    return context


def start(processes: ForkServerContext, db: Path, shop: dict[str, str]) -> ForkServerProcess:
    process = processes.Process(target=killed_pipeline.run, args=(str(db), shop))
    process.start()
    return process


def undisturbed(processes: ForkServerContext, db: Path, shop: dict[str, str]) -> float:
    """Run to the end; return the seconds it took."""
    began = time.monotonic()
    process = start(processes, db, shop)
    process.join(PATIENCE)
    assert process.exitcode == 0
    return time.monotonic() - began


def kill_after(
    processes: ForkServerContext, db: Path, shop: dict[str, str], seconds: float
) -> bool:
    """Start a run and kill it; return whether it was still going."""
    process = start(processes, db, shop)
    process.join(seconds)
    process.kill()
    process.join(PATIENCE)
    return process.exitcode == -signal.SIGKILL


def told(db: Path, sql: dict[str, str]) -> dict[str, list[Any]]:
    """Return what the database says; nothing where it holds no tables yet."""
    try:
        with Store(db, read_only=True) as store:
            return {name: store.rows(query) for name, query in sql.items()}
    except UserError:
        return {name: [] for name in sql}


def test_a_killed_run_is_taken_up_where_it_was(
    tmp_path: Path, processes: ForkServerContext, shop: dict[str, str]
) -> None:
    rng = random.Random(0)
    undisturbed(processes, tmp_path / "warm.duckdb", shop)
    length = undisturbed(processes, tmp_path / "whole.duckdb", shop)
    whole = told(tmp_path / "whole.duckdb", RESULT)
    assert len(whole["captions"]) == 19
    assert len(whole["failures"]) == 1
    assert whole["positives"]
    killed = databases = 0
    while killed < KILLS:
        db = tmp_path / f"killed{databases}.duckdb"
        databases += 1
        finished: dict[str, list[Any]] = {name: [] for name in FINISHED}
        for place in range(min(KILLS_A_DATABASE, KILLS - killed)):
            # What was finished is not done again, so there is less and less time to kill in.
            going = kill_after(processes, db, shop, length * rng.random() / (1 + place))
            killed += going
            length *= 1 if going else 0.7  # the machine has become faster
            now = told(db, FINISHED)
            for name, rows in finished.items():
                assert set(rows) <= set(now[name]), name  # done once, with the time it was done
            finished = now
        undisturbed(processes, db, shop)
        assert told(db, RESULT) == whole
        last = told(db, FINISHED)
        for name, rows in finished.items():
            assert set(rows) <= set(last[name]), name
        statuses = {status for (status,) in told(db, {"runs": STATUSES})["runs"]}
        assert statuses <= {"done", "interrupted"}
