from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from genfilt.cli.app import app
from genfilt.common.errors import UsageError, UserError
from genfilt.features.embed import Embedder
from genfilt.features.texts import number_features
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import current_rule
from genfilt.generators.protocols import Attributes
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.explain import Explanation, Outcome, explain
from genfilt.inspect.pair_scores import score_pair
from genfilt.inspect.pair_texts import feature_text, find_product, find_query
from genfilt.store.store import Store
from tests.described_shop import describe, described_shop, judge
from tests.filter.calibrated.clicked_shop import SETTINGS, shop

STORED = "SELECT q, f, q_i, q_t, cosine, score, vetoed, reasons FROM qp_candidates ORDER BY ALL"
ANY_PAIRS = """
SELECT query_id, product_id FROM queries, products ORDER BY hash(query_id, product_id) LIMIT 40
"""
FOUND_PAIRS = """
SELECT query_id, product_id FROM query_product_corrections ORDER BY hash(query_id, product_id)
LIMIT 3
"""


class NoModel(Embedder):
    """The default embedder, which must not be needed."""

    def encode(self, texts: object) -> None:  # type: ignore[override]
        raise AssertionError(f"{texts} were embedded")


@pytest.fixture(scope="module")
def paper(embedder: Embedder) -> Iterator[Store]:
    with described_shop() as store:
        judge(
            store,
            "labels",
            [
                {"query_id": "q3", "product_id": "p3", "label": "1", "split": "train"},
                {"query_id": "q3", "product_id": "p1", "label": "0", "split": "train"},
                {"query_id": "q4", "product_id": "p3", "label": "1", "split": "val"},
            ],
        )
        filter_pairs(store, FilterSettings(0.7, 0.3), embedder)
        yield store


@pytest.fixture(scope="module")
def calibrated(embedder: Embedder) -> Iterator[Store]:
    """The clicked shop, its last eight products without a caption."""
    with shop() as store:
        store.connection.execute(
            "DELETE FROM captions WHERE image_key IN (SELECT image_key FROM products "
            "ORDER BY product_id DESC LIMIT 8)"
        )
        filter_pairs(store, SETTINGS, embedder)
        yield store


def test_a_correction_is_explained_from_its_row_alone(paper: Store) -> None:
    found = explain(paper, NoModel(), "q1", "p1")
    (row,) = paper.rows("SELECT q_i, q_t, score FROM query_product_corrections "
                        "WHERE query_id = 'q1' AND product_id = 'p1'")  # fmt: skip
    assert (found.q_i, found.q_t, found.score) == row
    assert (found.outcome, found.stored, found.rule) == (Outcome.correction, True, "paper")
    assert found.rank == 1
    assert "reaches sigma 0.7" in found.why
    by_text = explain(paper, NoModel(), "  Red HOODIE ", "Acme red cotton hoodie")
    assert asdict(by_text) == asdict(found)


def test_a_known_pair_names_the_verdict_of_train(paper: Store) -> None:
    found = explain(paper, NoModel(), "q3", "p3")
    assert (found.outcome, found.verdict) == (Outcome.known, "label: relevant")
    assert found.why == "No correction, since it is known already: a train label calls it relevant."
    against = explain(paper, NoModel(), "q3", "p1")
    assert against.verdict == "label: not relevant"
    assert "not relevant" in against.why


def test_what_val_says_is_not_shown(paper: Store, embedder: Embedder) -> None:
    before = explain(paper, embedder, "q4", "p3")
    assert before.verdict is None
    paper.connection.execute("UPDATE labels SET label = 1 - label WHERE split = 'val'")
    assert explain(paper, embedder, "q4", "p3") == before


def test_a_pair_below_sigma_says_by_how_much(paper: Store) -> None:
    stored = paper.rows(
        "SELECT query_id, product_id, score FROM qp_candidates JOIN query_no USING (q) "
        "JOIN product_no USING (f) WHERE score < 0.7 ORDER BY ALL"
    )
    assert stored
    shown = [explain(paper, NoModel(), *pair) for *pair, _ in stored]
    for found, (*_, score) in zip(shown, stored, strict=True):
        if found.verdict is None:
            assert found.outcome is Outcome.below_sigma
            assert f"{0.7 - score:.3f} below sigma 0.7" in found.why
            assert found.rank is not None
            assert 1 <= found.rank <= found.candidates


def test_a_pair_that_was_never_stored_is_scored(paper: Store, embedder: Embedder) -> None:
    found = explain(paper, embedder, "q4", "p1")
    assert (found.outcome, found.stored) == (Outcome.below_floor, False)
    rule = current_rule(paper, embedder)
    q = paper.scalar("SELECT q FROM query_no WHERE query_id = 'q4'")
    f = paper.scalar("SELECT f FROM product_no WHERE product_id = 'p1'")
    assert found.score == rule.scores(np.array([q]), np.array([f]))[0]
    assert f"{0.3 - (found.score or 0):.3f} below floor 0.3" in found.why
    assert found.rank == found.candidates + 1


def test_new_texts_are_embedded_and_nothing_is_written(paper: Store, embedder: Embedder) -> None:
    vectors = paper.scalar("SELECT count(*) FROM vectors")
    found = explain(paper, embedder, "crimson sweatshirt", "Zeta red hoodie")
    assert (found.query_id, found.product_id, found.split) == (None, None, None)
    assert found.outcome in (Outcome.not_joined, Outcome.below_sigma)
    assert found.score == found.q_t
    assert found.reasons == "title alone"
    assert explain(paper, embedder, "zeta red hoodie", "Zeta red hoodie").outcome is (
        Outcome.not_joined
    )
    assert paper.scalar("SELECT count(*) FROM vectors") == vectors


def test_a_correction_of_another_split_says_so(paper: Store) -> None:
    found = explain(paper, NoModel(), "q1", "p4")
    assert (found.outcome, found.split) == (Outcome.correction, "val")
    assert "which training does not use" in found.why


def test_faults_are_one_sentence(embedder: Embedder, paper: Store) -> None:
    with described_shop() as store, pytest.raises(UserError, match="run genfilt filter first"):
        explain(store, embedder, "q1", "p1")
    with pytest.raises(UserError, match="is empty"):
        explain(paper, embedder, "  ", "p1")
    with pytest.raises(UserError, match="title is empty"):
        explain(paper, embedder, "q1", " ")
    other = NoModel()
    other.name = "other"
    with pytest.raises(UserError, match="--embedder must be the current filter's"):
        explain(paper, other, "a new query", "p1")


def test_a_product_that_came_after_the_filter_is_not_joined(embedder: Embedder) -> None:
    with described_shop() as store:
        filter_pairs(store, FilterSettings(0.7, 0.3), embedder)
        table = pa.table({"product_id": ["n"], "title": ["red hoodie"], "split": ["train"]})
        ingest(store, Sources(products=table))
        found = explain(store, embedder, "q1", "n")
        assert (found.product_id, found.outcome) == ("n", Outcome.not_joined)
        assert "has not compared the pair" in found.why
        store.connection.execute("UPDATE features SET title_text = '' WHERE f = (SELECT f "
                                 "FROM product_no WHERE product_id = 'p5')")  # fmt: skip
        assert explain(store, embedder, "q1", "p5").outcome is Outcome.no_score


def test_the_calibrated_score_of_one_pair_is_the_filters(
    calibrated: Store, embedder: Embedder
) -> None:
    """Every stored pair is scored anew as if it were not stored, with its reasons."""
    ids = dict(calibrated.rows("SELECT q, min(query_id) FROM query_no GROUP BY q"))
    products = dict(calibrated.rows("SELECT f, min(product_id) FROM product_no GROUP BY f"))
    rows = calibrated.rows(STORED)
    chosen = [*rows[:: max(1, len(rows) // 25)], *[r for r in rows if r[2] is None][:5]]
    assert any(row[2] is None for row in chosen)
    for q, f, *stored in chosen:
        query, product = find_query(calibrated, ids[q]), find_product(calibrated, products[f])
        found = score_pair(calibrated, embedder, embedder.name, query, product)
        # The stored offsets of queries are rounded to 4 digits.
        assert list(asdict(found).values())[:4] == pytest.approx(stored[:4], abs=1e-4)
        assert (found.vetoed, found.reasons) == tuple(stored[4:])


def test_outcomes_of_the_calibrated_rule(calibrated: Store, embedder: Embedder) -> None:
    pairs = calibrated.rows(ANY_PAIRS) + calibrated.rows(FOUND_PAIRS)
    rule = current_rule(calibrated, embedder)
    seen: dict[Outcome, Explanation] = {}
    for query_id, product_id in pairs:
        found = explain(calibrated, embedder, query_id, product_id)
        seen[found.outcome] = found
        q = calibrated.scalar("SELECT q FROM query_no WHERE query_id = ?", [query_id])
        f = calibrated.scalar("SELECT f FROM product_no WHERE product_id = ?", [product_id])
        score = rule.scores(np.array([q]), np.array([f]))[0]
        assert found.score is not None
        if np.isfinite(score):
            assert found.score == pytest.approx(score, abs=1e-5)  # sums of float32
        else:
            assert found.vetoed
    assert seen.keys() >= {Outcome.known, Outcome.below_floor, Outcome.correction}
    calibrated.connection.execute(
        "UPDATE qp_candidates SET vetoed = true, reasons = 'type: a, not b'"
    )
    row = calibrated.rows("SELECT query_id, product_id FROM qp_candidates JOIN query_no USING (q) "
                          "JOIN product_no n USING (f) ANTI JOIN (FROM verdicts WHERE split = "
                          "'train') USING (q, p) WHERE score >= 0.8 LIMIT 1")[0]  # fmt: skip
    vetoed = explain(calibrated, NoModel(), *row)
    assert vetoed.outcome is Outcome.vetoed
    assert vetoed.why.endswith("Against it: type: a, not b.")


def test_new_texts_under_the_calibrated_rule(calibrated: Store, embedder: Embedder) -> None:
    found = explain(calibrated, embedder, "a scarlet hoodie", "000")
    assert found.rule == "calibrated"
    assert found.score is not None
    assert 0 <= found.score <= 1
    new = explain(calibrated, embedder, "red hoodie", "Dario hoodie in red")
    assert new.score is not None
    assert new.outcome in (Outcome.not_joined, Outcome.below_floor)
    assert new.reasons is not None
    assert "title alone" in new.reasons


def test_feature_texts_in_python_are_those_in_sql() -> None:
    rows = [
        ("a", "Acme Red Leather boots", "leather boots", "red, Brown"),
        ("b", "No kind at all", None, "red"),
        ("c", "Kettle, kettle", "kettle", None),
    ]
    with Store() as store:
        describe(store, [(i, t, c, color, None, "train") for i, t, c, color in rows])
        store.connection.execute(
            "UPDATE attributes SET brand = 'Acme', material = 'Leather, leather' "
            "WHERE core_word = 'leather boots'"
        )
        number_features(store)
        for _, title, *_ in rows:
            product = find_product(store, title)
            assert product.f is not None
            assert feature_text(title, product.attributes) == product.feature
    assert feature_text("x", Attributes(None, "wool", None, None, None, "")) == "x"


def test_the_command_prints_every_format(paper: Store, tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    with Store(db) as store:
        for table in store.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary"):
            rows = paper.arrow(f"FROM {table[0]}")
            store.connection.execute(f"DELETE FROM {table[0]}")
            store.insert(table[0], rows)
    words = ["explain", "red hoodie", "p1", "--db", str(db), "--format"]
    said = {form: CliRunner().invoke(app, [*words, form]) for form in ("table", "json", "csv")}
    assert [each.exit_code for each in said.values()] == [0, 0, 0]
    answer = json.loads(said["json"].stdout)
    assert answer["outcome"] == "correction"
    (row,) = csv.DictReader(io.StringIO(said["csv"].stdout))
    assert row["why"] == answer["why"]
    assert "reaches sigma" in said["table"].stdout


def test_a_mistyped_id_is_no_new_text() -> None:
    with described_shop() as store:
        for typed in ("p7", "P1", "p 1".replace(" ", "-"), "p11"):
            with pytest.raises(UsageError, match=r"There is no product .*did you mean p\d"):
                find_product(store, typed)
        with pytest.raises(UsageError, match="did you mean q1 or q2 or q3"):
            find_query(store, "q9")
        for title in ("hoodie", "p1 hoodie", "x900-4711", "1984"):
            assert find_product(store, title).product_id is None
            assert find_query(store, title).query_id is None
