from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genfilt.extract.titles import extract_queries
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.features.texts import number_features
from genfilt.filter.calibrated.calibration_data import load_calibration_data
from genfilt.filter.calibrated.candidates import Scorer
from genfilt.filter.calibrated.rule import fit_rule
from genfilt.filter.calibrated.scoring import ValueScores
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.protocols import Attributes
from genfilt.store.store import Store
from tests.described_shop import judge
from tests.filter.calibrated.clicked_shop import CORRECTIONS, SETTINGS, shop


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
    scorer = Scorer(fit.calibration, data, fit.unseen, fit.offsets, np.arange(size))
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
        assert data.requested[mug] == (
            *(("type", "lamp"), ("color", "red"), ("words", "mug")),
            *(("query words", "red"), ("query words", "mug")),
        )
