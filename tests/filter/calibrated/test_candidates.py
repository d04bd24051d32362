from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product as each_of
from pathlib import Path

import numpy as np
import pytest

from genfilt.common.errors import UsageError
from genfilt.extract.titles import extract_queries
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.features.texts import number_features
from genfilt.filter.calibrated.calibration_data import load_calibration_data
from genfilt.filter.calibrated.candidates import Scorer
from genfilt.filter.calibrated.rule import fit_rule
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import audit_filter, choose_rule
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.protocols import Attributes
from genfilt.inspect.report import write_report
from genfilt.store.store import Store
from tests.described_shop import ask, describe, judge

TYPES = ("hoodie", "mug", "lamp", "tank")
COLORS = ("red", "blue", "green", "black")
MAKERS = ("Acme", "Borel", "Corvo")
SETTINGS = FilterSettings(0.8, rule="calibrated")
CORRECTIONS = """
SELECT query, title, caption, score, reasons FROM query_product_corrections ORDER BY ALL
"""


def shop(rename: str = "", category: str | None = None) -> Store:
    """Ninety-six products whose pictures tell the colour, and what shoppers clicked."""
    store = Store()
    products, truth = [], {}
    for number, (maker, kind, color, copy) in enumerate(each_of(MAKERS, TYPES, COLORS, (1, 2))):
        split = "val" if maker == "Corvo" and copy == 2 else "train"
        name = f"{rename}{(number * 37) % 96 if rename else number:03d}"
        row = (name, f"{maker} {kind} no {copy}", kind, None, f"a {color} {kind}", split)
        products.append(row)
        truth[name] = (maker, kind, color)
    describe(store, products)
    queries = [(f"q-{c}-{t}", f"{c} {t}") for c, t in each_of(COLORS, TYPES)]
    queries += [(f"q-{t}", t) for t in TYPES] + [
        (f"q-{m}-{t}", f"{m} {t}") for m, t in each_of(MAKERS, TYPES)
    ]
    ask(store, queries)
    rng = np.random.default_rng(0)
    clicks, labels = [], []
    for query_id, query in queries:
        words = query.split()
        for number, row in enumerate(products):
            facets = truth[str(row[0])]
            right = all(word in facets for word in words)
            draw = rng.random(2)
            if row[-1] == "train" and right and draw[0] < 0.5:
                clicks.append(
                    {"query_id": query_id, "product_id": row[0], "clicks": 1 + number % 3}
                )
            if row[-1] == "train" and draw[1] < (0.5 if right else 0.04):
                labels.append(
                    {
                        "query_id": query_id,
                        "product_id": row[0],
                        "label": int(right),
                        "split": "train",
                    }
                )
    judge(store, "clicks", clicks)
    judge(store, "labels", labels)
    if category:
        store.connection.execute("UPDATE products SET category = ?", [category])
    return store


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with shop() as opened:
        yield opened


@pytest.fixture(scope="module")
def corrections(store: Store, embedder: Embedder) -> list[tuple[object, ...]]:
    filter_pairs(store, SETTINGS, embedder)
    return store.rows(CORRECTIONS)


def test_corrections_are_right_and_say_why(corrections: list[tuple[object, ...]]) -> None:
    assert len(corrections) > 30
    wrong = 0
    for query, title, caption, score, _ in corrections:
        assert 0.8 - 1e-6 <= float(str(score)) <= 1
        wrong += not all(word in f"{title} {caption}".split() for word in str(query).split())
    assert wrong <= 0.05 * len(corrections)
    reasons = {str(row[-1]) for row in corrections}
    assert any("type: mug; colour: red, from the picture" in reason for reason in reasons)


@pytest.mark.parametrize(("columns", "shared"), [(256, 64), (6, 3), (1, 1)])
def test_candidates_are_those_of_every_pair_scored(
    store: Store, embedder: Embedder, columns: int, shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where values share coordinates, and the join finds more than what passes."""
    monkeypatch.setattr("genfilt.filter.calibrated.scoring.COLUMNS", columns)
    monkeypatch.setattr("genfilt.filter.calibrated.scoring.SHARED", shared)
    settings = FilterSettings(0.8, floor=0.02, rule="calibrated")
    filter_pairs(store, settings, embedder)
    data = load_calibration_data(store, load_corpus(store, embedder), embedder)
    fit = fit_rule(data)
    size = len(data.product_values)
    scorer = Scorer(fit.calibration, data, fit.unseen, np.arange(size))
    q, f = np.divmod(np.arange(len(data.requested) * size), size)
    score, ruled_out = scorer.scores(q, f)
    numbers = data.corpus
    expected = {
        (int(numbers.queries.numbers[a]), int(numbers.features.f[b])): (s, v)
        for a, b, s, v in zip(q, f, score, ruled_out, strict=True)
        if s >= 0.02
    }
    found = {
        (a, b): (s, v) for a, b, s, v in store.rows("SELECT q, f, score, vetoed FROM qp_candidates")
    }
    assert set(found) == set(expected)
    for pair, (s, v) in expected.items():
        assert found[pair][0] == pytest.approx(s, abs=1e-6)
        assert found[pair][1] == v
    raised = scorer.left.astype(np.float64) @ scorer.right.T
    values = ValueScores(fit.calibration, data.products, data.values)
    for row, wanted in enumerate(data.requested):
        places = np.array([data.values.index(each) for each in wanted], dtype=np.int64)
        exact = values.at(np.arange(size)[:, None], places) @ data.queries.share[row, : len(places)]
        cosines = scorer.left[row, : -values.columns] @ scorer.right[:, : -values.columns].T
        assert (raised[row] - cosines >= exact - 1e-4).all()
    vetoed = store.rows("SELECT DISTINCT reasons FROM qp_candidates WHERE vetoed")
    assert all(", not " in reason for (reason,) in vetoed)
    assert not store.scalar("SELECT count(*) FROM qp_corrections WHERE vetoed")


def test_ids_and_categories_tell_nothing(
    corrections: list[tuple[object, ...]], embedder: Embedder
) -> None:
    with shop(rename="other-", category="all the same") as renamed:
        filter_pairs(renamed, SETTINGS, embedder)
        again = renamed.rows(CORRECTIONS)
    assert sorted(map(str, (row[:3] for row in again))) == sorted(
        map(str, (row[:3] for row in corrections))
    )
    scores = [sorted(float(str(row[3])) for row in rows) for rows in (again, corrections)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_nothing_of_val_is_read(corrections: list[tuple[object, ...]], embedder: Embedder) -> None:
    with shop() as store:
        val = store.rows("SELECT product_id FROM products WHERE split = 'val' ORDER BY 1")
        for query in ("q-red-mug", "q-lamp", "q-Acme-tank"):
            rows = [
                {"query_id": query, "product_id": p, "label": 1, "split": "val"} for (p,) in val
            ]
            judge(store, "labels", rows)
            judge(store, "clicks", [{**row, "clicks": 9} for row in rows])
        filter_pairs(store, SETTINGS, embedder)
        assert store.rows(CORRECTIONS) == corrections


def test_audit_proposes_a_sigma_that_filter_uses(store: Store, embedder: Embedder) -> None:
    filter_pairs(store, FilterSettings(None, rule="calibrated"), embedder)
    found = audit_filter(store, embedder).as_dict()
    assert found["best"]["sigma"] == store.scalar("SELECT sigma FROM filters WHERE current")
    assert found["best"]["precision"] >= 0.95
    assert found["reliability"]["all"]["error"] < 0.03
    assert len(found["sigma"]) == len(found["precision"]) == len(found["recall"])
    assert found["rule"] == "calibrated"
    json.dumps(found)


def test_the_report_shows_what_sigma_is_worth(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    filter_pairs(store, SETTINGS, embedder)
    write_report(store, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "Estimated for all" in text
    assert 'class="precision" d="M' in text


def test_nothing_is_fitted_after_the_filter(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with shop() as store:
        filter_pairs(store, replace(SETTINGS, base_rate=0.1), embedder)
        before = audit_filter(store, embedder).as_dict()
        assert "base rate as given" in str(before["population"])
        monkeypatch.setattr("genfilt.filter.calibrated.fit._fit_weights", None)
        train = store.scalar("SELECT min(product_id) FROM products WHERE split = 'train'")
        judge(store, "reviews", [{"query_id": "q-mug", "product_id": train, "verdict": 0}])
        assert audit_filter(store, embedder).as_dict() == before
        write_report(store, tmp_path / "r.html")
        with pytest.raises(UsageError, match="--base-rate is part of the calibrated rule's fit"):
            audit_filter(store, embedder, base_rate=0.2)


def test_an_audit_of_val_measures_the_calibrated_filter(embedder: Embedder) -> None:
    with shop() as store:
        val = store.rows("SELECT product_id, title FROM products WHERE split = 'val' ORDER BY 1")
        for kind in TYPES:
            rows = [
                {"query_id": f"q-{kind}", "product_id": p, "label": int(kind in t), "split": "val"}
                for p, t in val
            ]
            judge(store, "labels", rows)
        filter_pairs(store, replace(SETTINGS, floor=0.01), embedder)
        found = audit_filter(store, embedder, split="val")
        rows = store.rows(
            "SELECT query, product_id, score FROM qp_candidates JOIN query_no USING (q) "
            "JOIN queries USING (query_id) JOIN product_no USING (f) "
            "JOIN products USING (product_id) WHERE split = 'val' AND NOT vetoed"
        )
    scores = {(query, product): score for query, product, score in rows}
    assert found.rule == "calibrated"
    assert f"{len(TYPES) * len(val)} judged pairs of the split val" in found.population
    for sigma in (0.1, 0.5, 0.8):
        right = [kind in t for kind in TYPES for p, t in val if scores.get((kind, p), 0) >= sigma]
        assert right
        place = found.curve.sigma.index(sigma)
        assert found.curve.precision[place] == pytest.approx(sum(right) / len(right), abs=1e-5)


def test_titles_alone_are_fitted_without_pictures(embedder: Embedder) -> None:
    with shop() as store:
        store.connection.execute(
            "DELETE FROM captions WHERE image_key IN (SELECT image_key FROM products "
            "WHERE hash(product_id) % 2 = 0)"
        )
        filter_pairs(store, SETTINGS, embedder)
        found = store.rows(
            "SELECT query, title, caption, q_i, reasons FROM query_product_corrections"
        )
    alone = [row for row in found if row[2] is None]
    assert len(alone) > 10
    assert len(alone) < len(found)
    for query, title, _, q_i, reasons in alone:
        assert q_i is None
        assert reasons.startswith("title alone")
        # No text gives the colour without a picture; the product's own clicks may.
        known = all(word in title.split() for word in query.split())
        assert known or "by its clicks" in reasons


def test_auto_is_calibrated_where_enough_is_known(
    embedder: Embedder, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop() as store:
        capsys.readouterr()
        made = filter_pairs(store, FilterSettings(0.9), embedder)
        assert made.rule == "calibrated"
        line = capsys.readouterr().err.splitlines()[0]
        assert line.startswith("rule calibrated (")
        assert "known to be relevant" in line
        assert line.endswith("sigma 0.9 is the estimated probability that a pair is relevant")
        assert choose_rule(store, FilterSettings(-0.5)).name == "paper"
        store.connection.execute("DELETE FROM labels")
        choice = choose_rule(store, FilterSettings(0.9))
        assert "by clicks alone: at 0.9 expect a precision of 0.8 to 0.93" in choice.why
        store.connection.execute("DELETE FROM clicks WHERE hash(query_id, product_id) % 8 > 0")
        assert filter_pairs(store, FilterSettings(0.9), embedder).rule == "paper"
        assert "calibrated needs 100" in capsys.readouterr().err
        assert not store.scalar(
            "SELECT count(*) FROM filter_fits JOIN filters f USING (filter_id) WHERE f.current"
        )


def test_queries_are_read_by_the_reader_of_the_titles(embedder: Embedder) -> None:
    class Backwards(Lexicon):
        """Reads as the lexicon does, but takes every mug for a lamp."""

        def attributes(self, text: str) -> Attributes:
            found = super().attributes(text)
            return replace(found, core_word="lamp") if found.core_word == "mug" else found

    with shop() as store:
        reader = Backwards({}, ())
        counts = extract_queries(store, reader)
        assert counts.done == store.scalar("SELECT count(*) FROM query_keys")
        assert extract_queries(store, reader).done == 0
        store.set_meta("llm", reader.name)
        store.set_meta("llm_prompt_key", reader.prompt_key)
        number_features(store)
        data = load_calibration_data(store, load_corpus(store, embedder), embedder)
        mug = data.corpus.queries.texts.index("red mug")
        assert data.requested[mug] == (("type", "lamp"), ("color", "red"), ("words", "mug"))


def test_settings_that_mean_nothing_are_refused() -> None:
    for settings in (
        {"rule": "newest"},
        {"rule": "calibrated", "sigma": 1.2},
        {"rule": "calibrated", "base_rate": 2.0},
    ):
        with pytest.raises(UsageError, match="must be"):
            FilterSettings(**settings)
