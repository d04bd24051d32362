from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError
from genfilt.features.embed import Embedder
from genfilt.filter.advice import advice
from genfilt.filter.audit import forecast_lines
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import CLICKS_ALONE_PRECISION, audit_filter, choose_rule
from genfilt.inspect.report import write_report
from genfilt.inspect.status import status
from genfilt.store.store import Store
from tests.described_shop import judge
from tests.filter.calibrated.clicked_shop import SETTINGS, TYPES, shop


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
    embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shop() as store:
        filter_pairs(store, replace(SETTINGS, base_rate=0.1), embedder)
        before = audit_filter(store, embedder).as_dict()
        assert "changed since the fit" not in capsys.readouterr().err
        assert "base rate as given" in str(before["population"])
        monkeypatch.setattr("genfilt.filter.calibrated.fit._fit_weights", None)
        train = store.scalar("SELECT min(product_id) FROM products WHERE split = 'train'")
        judge(store, "reviews", [{"query_id": "q-mug", "product_id": train, "verdict": 0}])
        assert audit_filter(store, embedder).as_dict() == before
        assert "reviews or products changed since the fit" in capsys.readouterr().err
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
    embedder: Embedder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genfilt.filter.rules.MIN_KNOWN_PAIRS", 100)
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
        assert "by clicks alone" in choice.why
        assert f"0.9 had a precision of {CLICKS_ALONE_PRECISION}" in choice.why
        store.connection.execute("DELETE FROM clicks WHERE hash(query_id, product_id) % 8 > 0")
        assert filter_pairs(store, FilterSettings(0.9), embedder).rule == "paper"
        assert "calibrated needs 100" in capsys.readouterr().err
        fits = "SELECT fit, audit FROM filter_fits JOIN filters USING (filter_id) WHERE current"
        assert store.rows(fits) == [(None, None)]


def test_settings_that_mean_nothing_are_refused() -> None:
    for settings in (
        {"rule": "newest"},
        {"rule": "calibrated", "sigma": 1.2},
        {"rule": "calibrated", "base_rate": 2.0},
    ):
        with pytest.raises(UsageError, match="must be"):
            FilterSettings(**settings)


def test_a_calibrated_filter_that_corrects_nothing_says_what_to_try(embedder: Embedder) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        store.connection.execute("DELETE FROM qp_candidates")
        found = advice(store)
        assert found.startswith("No pair reaches sigma 0.8 under the rule calibrated. Try: --sigma")
        assert "corrections at an estimated precision of" in found
        assert "genfilt audit --sample 50" in found


def test_the_audit_forecasts_what_a_batch_sees(embedder: Embedder) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        audit = audit_filter(store, embedder)
        lines = [row["detail"] for row in status(store) if row["what"] == "forecast"]
    assert audit.forecast is not None
    assert lines == forecast_lines(audit.forecast)
    assert lines[0].startswith("known share: 0.")
    assert [line.split()[2] for line in lines[1:]] == ["64", "512"]
    batches = audit.as_dict()["forecast"]["batches"]  # type: ignore[index]
    for batch in batches:
        assert 0 <= batch["false_negatives_after"] < batch["false_negatives_before"]
