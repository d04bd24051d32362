from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from genfilt.cli.app import app
from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.export import export_positives
from genfilt.inspect.review import draw_sample, reviewed_precision
from genfilt.inspect.review_sheet import write_sheet
from genfilt.store.keys import text_key
from genfilt.store.store import Store, now
from tests.described_shop import PRODUCTS, ask, describe, described_shop, judge
from tests.shop_files import draw

KINDS = ("hoodie", "mug", "kettle", "jacket", "shoe", "lamp")
COLORS = ("red", "blue", "green", "black", "white", "pink")
SIGMA = 0.5


def large_shop(embedder: Embedder) -> Store:
    """A shop of 36 products and 36 queries, filtered."""
    store = Store()
    names = [f"{color} {kind}" for color in COLORS for kind in KINDS]
    describe(
        store,
        [
            (f"p{n:02}", f"Acme {name}", name.split()[1], name.split()[0], f"a {name}", "train")
            for n, name in enumerate(names)
        ],
    )
    ask(store, [(f"q{n:02}", name) for n, name in enumerate(names)])
    filter_pairs(store, FilterSettings(SIGMA), embedder)
    return store


def right(row: dict[str, Any]) -> bool:
    """The truth of this shop: the more alike two texts are, the likelier they belong together."""
    chance = int(text_key(f"{row['query']} {row['title']}")[:8], 16) / 0x1_0000_0000
    return bool(chance < row["score"] ** 2)


def review(store: Store, rows: list[dict[str, Any]]) -> None:
    verdicts = [
        {"query_id": row["query_id"], "product_id": row["product_id"], "verdict": int(right(row))}
        for row in rows
    ]
    judge(store, "reviews", verdicts)


@pytest.fixture(scope="module")
def kept_shop(embedder: Embedder) -> Store:
    return large_shop(embedder)


@pytest.fixture
def shop(kept_shop: Store) -> Iterator[Store]:
    """The large shop, and no draw or review of another test."""
    yield kept_shop
    for table in ("reviews", "samples"):
        kept_shop.connection.execute(f"DELETE FROM {table}")


def test_a_draw_is_stratified_and_its_probabilities_are_noted(shop: Store) -> None:
    rows = draw_sample(shop, 60)
    assert len(rows) == 60
    assert len({(row["query_id"], row["product_id"]) for row in rows}) == 60
    population = [score for (score,) in shop.rows("SELECT score FROM query_product_corrections")]
    low, high = min(population), max(population)

    def stratum(score: float) -> int:
        return min(4, int(5 * (score - low) / (high + 1e-9 - low)))

    totals = Counter(stratum(score) for score in population)
    drawn = Counter(stratum(row["score"]) for row in rows)
    for row in rows:
        place = stratum(row["score"])
        assert row["probability"] == pytest.approx(drawn[place] / totals[place])
    fewest = min(drawn[place] for place in totals if drawn[place] < totals[place])
    most = max(drawn.values())
    assert most - fewest <= 1, (drawn, totals)
    assert shop.scalar("SELECT count(*) FROM samples WHERE draw = 1") == 60
    assert sum(1 / row["probability"] for row in rows) == pytest.approx(len(population))


def test_the_order_says_nothing_of_the_score(shop: Store) -> None:
    rows = draw_sample(shop, 200)
    places, scores = np.arange(len(rows)), [row["score"] for row in rows]
    assert abs(np.corrcoef(places, scores)[0, 1]) < 0.25


def test_a_sample_larger_than_the_population_is_all_of_it(shop: Store) -> None:
    total = shop.scalar("SELECT count(*) FROM query_product_corrections")
    rows = draw_sample(shop, total + 1000)
    assert len(rows) == total
    assert {row["probability"] for row in rows} == {1.0}


def test_the_estimate_is_unbiased_and_its_interval_covers(shop: Store) -> None:
    store = shop
    everything = draw_sample(store, 100_000)
    truth = np.mean([right(row) for row in everything])
    assert 0.05 < truth < 0.95
    estimates, covered = [], 0
    for _ in range(40):
        rows = draw_sample(store, 80)
        review(store, rows)
        found = reviewed_precision(store)
        assert found is not None
        assert (found.reviewed, found.drawn) == (80, 80)
        weights = [1 / row["probability"] for row in rows]
        by_hand = np.average([right(row) for row in rows], weights=weights)
        assert found.precision == pytest.approx(by_hand)
        estimates.append(found.precision)
        covered += found.low <= truth <= found.high
        store.connection.execute("DELETE FROM reviews")
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * error
    assert covered >= 34


def test_only_the_answered_rows_count(shop: Store, embedder: Embedder) -> None:
    store = shop
    assert reviewed_precision(store) is None
    rows = draw_sample(store, 40)
    assert reviewed_precision(store) is None
    review(store, rows[:10])
    found = reviewed_precision(store)
    assert found is not None
    assert (found.reviewed, found.drawn) == (10, 40)
    assert 0 < found.low < found.precision + 1e-9
    assert found.high <= 1
    # A sample of a lower sigma serves a higher one; one of a higher sigma says nothing of a lower.
    filter_pairs(store, FilterSettings(0.7), embedder)
    higher = reviewed_precision(store)
    assert higher is not None
    assert higher.drawn == sum(row["score"] >= 0.7 for row in rows)
    filter_pairs(store, FilterSettings(0.4), embedder)
    assert reviewed_precision(store) is None
    filter_pairs(store, FilterSettings(SIGMA), embedder)


def test_only_train_corrections_that_nobody_knows_are_drawn(embedder: Embedder) -> None:
    store = described_shop()
    filter_pairs(store, FilterSettings(0.2), embedder)
    before = {(row["query_id"], row["product_id"]) for row in draw_sample(store, 1000)}
    assert {product for _, product in before} == {"p1", "p2", "p3", "p5"}
    judge(store, "clicks", [{"query_id": "q2", "product_id": "p1"}])
    after = {(row["query_id"], row["product_id"]) for row in draw_sample(store, 1000)}
    assert before - after == {("q1", "p1")}  # q1 and q2 are one query
    filter_pairs(store, FilterSettings(0.99), embedder)
    with pytest.raises(UserError, match="no corrections of the split test"):
        draw_sample(store, 10, split="test")


def test_a_sheet_goes_out_and_comes_back(tmp_path: Path, embedder: Embedder) -> None:
    picture = draw(tmp_path / "p.png", "red")
    with described_shop() as store:
        store.connection.execute("UPDATE products SET image = ?", [str(picture)])
        filter_pairs(store, FilterSettings(0.3), embedder)
        rows = draw_sample(store, 50)
        page = write_sheet(rows, tmp_path / "out" / "review.csv")
        assert page.read_text().count("data:image/jpeg;base64,") == len(rows)
        with (tmp_path / "out" / "review.csv").open(encoding="utf-8-sig", newline="") as file:
            sheet = list(csv.DictReader(file))
        assert [row["verdict"] for row in sheet] == [""] * len(rows)
        assert ingest(store, Sources(reviews=str(tmp_path / "out" / "review.csv")))["reviews"] == 0
        for row in sheet[:3]:
            row.update(verdict="1", reviewer="ada", note="sure")
        with (tmp_path / "filled.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, sheet[0])
            writer.writeheader()
            writer.writerows(sheet)
        counts = ingest(store, Sources(reviews=str(tmp_path / "filled.csv")))
        assert counts == {"reviews": 3, "failed": 0}
        assert store.rows("SELECT DISTINCT verdict, reviewer, note FROM reviews") == [
            (1, "ada", "sure")
        ]
        found = reviewed_precision(store)
        assert found is not None
        assert (found.precision, found.reviewed) == (1.0, 3)
        assert found.low < 0.6  # three answers prove little


HOSTILE = '=HYPERLINK("http://x.example")</td><script>alert(1)</script>\u202e&<img src=x onerror=y>'


def test_hostile_text_stays_text(tmp_path: Path, embedder: Embedder) -> None:
    with Store() as store:
        hostile = [("=p1", HOSTILE, "hoodie", "red", "a red hoodie", "train"), *PRODUCTS[1:3]]
        describe(store, hostile)
        ask(store, [("+q1", "red hoodie <b>")])
        filter_pairs(store, FilterSettings(0.2), embedder)
        page = write_sheet(draw_sample(store, 20), tmp_path / "review.csv").read_text()
        assert "<script" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page
        text = (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
        with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
            sheet = list(csv.DictReader(file))
        assert not any(
            cell.startswith(("=", "+", "-", "@")) for row in sheet for cell in row.values()
        )
        assert ",=" not in text
        for row in sheet:
            row["verdict"] = "0"
        with (tmp_path / "filled.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, sheet[0])
            writer.writeheader()
            writer.writerows(sheet)
        counts = ingest(store, Sources(reviews=str(tmp_path / "filled.csv")))
        assert counts == {"reviews": len(sheet), "failed": 0}
        assert ("+q1", "=p1") in store.rows("SELECT query_id, product_id FROM reviews")


def test_the_command_writes_a_sheet_and_prints_what_the_answers_say(
    tmp_path: Path, shop: Store
) -> None:
    db, sheet = tmp_path / "t.duckdb", tmp_path / "review.csv"
    with Store(db) as store:
        tables = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary"
        for (table,) in shop.rows(tables):
            store.connection.execute(f"DELETE FROM {table}")
            store.insert(table, shop.arrow(f"FROM {table}"))

    def genfilt(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--db", str(db)])

    done = genfilt("audit", "--sample", "50", "--out", str(sheet))
    assert done.exit_code == 0, done.stderr
    assert "25 corrections to review and 25 candidates below sigma" in done.stderr
    with Store(db) as store:
        drawn = "FROM samples JOIN queries USING (query_id) JOIN products USING (product_id)"
        rows = store.arrow(drawn).to_pylist()
        review(store, rows)
    done = genfilt("audit", "--format", "json")
    assert done.exit_code == 0, done.stderr
    reviewed = json.loads(done.stdout)["reviewed"]
    assert (reviewed["reviewed"], reviewed["drawn"]) == (25, 25)
    assert f"{reviewed['precision']:.3f}" in done.stderr


def test_positives_are_exported_once_each(tmp_path: Path, embedder: Embedder) -> None:
    with described_shop() as store:
        judge(store, "clicks", [{"query_id": "q3", "product_id": "p3"}])
        judge(store, "labels", [{"query_id": "q1", "product_id": "p4", "label": "1"}])
        filter_pairs(store, FilterSettings(0.6), embedder)
        count = export_positives(store, tmp_path / "out" / "positives.parquet")
        table = pq.read_table(tmp_path / "out" / "positives.parquet")
        assert table.column_names == ["query", "title", "image", "source", "score"]
        rows = table.to_pylist()
        assert len(rows) == count
        assert len({(row["query"].casefold(), row["title"]) for row in rows}) == count
        assert {"query": "blue mug", "title": "Acme blue mug", "image": None, "source": "click",
                "score": None} in rows  # fmt: skip
        found = [row for row in rows if row["source"] == "genfilt"]
        assert found
        assert all(row["score"] >= 0.6 - 1e-6 for row in found)
        # p4 is of val: neither its label nor its corrections are told.
        assert not any(row["source"] == "label" for row in rows)
        assert export_positives(store, tmp_path / "val.parquet", split="val") >= 1
        judge(store, "reviews", [{"query_id": "q1", "product_id": "p1", "verdict": 0, "at": now()}])
        export_positives(store, tmp_path / "again.parquet")
        again = pq.read_table(tmp_path / "again.parquet").to_pylist()
        assert [row["title"] for row in rows if row["query"] == "RED hoodie"] != [
            row["title"] for row in again if row["query"] == "RED hoodie"
        ]
        store.connection.execute("DELETE FROM qp_candidates")
        with pytest.raises(UserError, match="no positives of the split test"):
            export_positives(store, tmp_path / "none.parquet", split="test")
