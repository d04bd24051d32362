from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.lower_candidates import LowerCandidates, lower_candidates
from genfilt.filter.rules import audit_filter
from genfilt.inspect.report import write_report
from genfilt.inspect.review import draw_sample, next_draw, reviewed_precision
from genfilt.inspect.status import status
from genfilt.store.store import Store
from tests.described_shop import described_shop, judge
from tests.filter.calibrated.clicked_shop import SETTINGS, shop

LOW_SIGMA = 0.6  # that corrections of the paper's rule reach in this shop


def drawn(store: Store, size: int) -> list[dict[str, object]]:
    """Draw as `genfilt audit --sample` does."""
    return draw_sample(store, size, lower=lower_candidates(store, "train", next_draw(store)))


def answer(store: Store, rows: list[dict[str, object]], lower: int = 0) -> None:
    """Confirm the drawn corrections and answer `lower` for the pairs below sigma."""
    sigma = store.scalar("SELECT sigma FROM filters WHERE current")
    answers = [
        {
            "query_id": row["query_id"],
            "product_id": row["product_id"],
            "verdict": 1 if float(str(row["score"])) >= sigma else lower,
        }
        for row in rows
    ]
    judge(store, "reviews", answers)


def test_half_of_a_sample_lies_below_sigma_with_its_probabilities(embedder: Embedder) -> None:
    with shop() as store:
        filter_pairs(store, FilterSettings(LOW_SIGMA, rule="paper"), embedder)
        lower = lower_candidates(store, "train", 1)
        assert lower is not None
        assert lower.share == 1
        rows = drawn(store, 40)
        scores = np.array([row["score"] for row in rows], dtype=float)
        below = scores < LOW_SIGMA
        assert (below.sum(), len(rows)) == (20, 40)
        assert scores.min() < LOW_SIGMA - 0.2  # not the nearest ranks alone
        assert scores.min() >= lower.floor
        weights = 1 / np.array([row["probability"] for row in rows], dtype=float)
        counted = "SELECT count(*) FROM reviewable"
        assert weights[~below].sum() == pytest.approx(store.scalar(counted))
        assert weights[below].sum() == pytest.approx(store.scalar(f"{counted}_lower"))
        stored = store.rows("SELECT score FROM samples WHERE draw = 1 ORDER BY score")
        assert [score for (score,) in stored] == sorted(scores.tolist())
        # The corrections alone are measured, whatever the answers below sigma.
        answer(store, rows)
        found = reviewed_precision(store)
        assert found is not None
        assert (found.precision, found.reviewed, found.drawn) == (1.0, 20, 20)


def scores_of(lower: LowerCandidates) -> dict[tuple[int, int], float]:
    columns = (lower.pairs[name].to_pylist() for name in ("q", "f", "score"))
    return {(q, f): score for q, f, score in zip(*columns, strict=True)}


@pytest.mark.parametrize(("rule", "sigma"), [("paper", LOW_SIGMA), ("calibrated", 0.999999)])
def test_a_large_catalogue_is_looked_at_by_drawn_queries_and_texts(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, rule: str, sigma: float
) -> None:
    with shop() as store:
        filter_pairs(store, FilterSettings(sigma, rule=rule), embedder)
        whole = lower_candidates(store, "train", 1)
        assert whole is not None
        scores = scores_of(whole)
        monkeypatch.setattr("genfilt.filter.lower_candidates.MAX_QUERIES", 12)
        monkeypatch.setattr("genfilt.filter.lower_candidates.MAX_TEXTS", 40)
        counts, seen = [], set()
        for seed in range(1, 41):
            drawn_pairs = lower_candidates(store, "train", seed)
            assert drawn_pairs is not None
            found = scores_of(drawn_pairs)
            assert found == {pair: scores[pair] for pair in found}
            assert len({q for q, _ in found}) <= 12
            assert len({f for _, f in found}) <= 40
            counts.append(len(found) / drawn_pairs.share)
            seen |= set(found)
        assert len(seen) > 0.9 * len(scores), "a seed draws others"
        error = np.std(counts) / np.sqrt(len(counts))
        assert np.mean(counts) == pytest.approx(len(scores), abs=4 * error)
        again = lower_candidates(store, "train", 40)
        assert again is not None
        assert scores_of(again) == found
        rows = draw_sample(store, 20, lower=drawn_pairs)
        weights = [1 / float(str(row["probability"])) for row in rows]
        counted = "SELECT (SELECT count(*) FROM reviewable), count(*) FROM reviewable_lower"
        corrections, lower = store.rows(counted)[0]
        assert sum(weights) == pytest.approx(corrections + lower / drawn_pairs.share)


@pytest.mark.parametrize("rule", ["paper", "calibrated"])
def test_a_filter_that_corrects_nothing_has_a_sample(embedder: Embedder, rule: str) -> None:
    with shop() as store:
        filter_pairs(store, FilterSettings(0.999999, rule=rule), embedder)
        store.connection.execute("DELETE FROM qp_candidates")
        with pytest.raises(UserError, match="no corrections of the split train"):
            draw_sample(store, 30)
        rows = drawn(store, 30)
        assert len(rows) == 30
        assert reviewed_precision(store) is None
        answer(store, rows)
        assert reviewed_precision(store) is None  # nothing of it is a correction
        # A lower sigma makes corrections of what was reviewed.
        filter_pairs(store, FilterSettings(0.75, rule=rule), embedder)
        assert reviewed_precision(store) is not None


def test_sixty_confirmed_corrections_keep_every_command_at_work(
    embedder: Embedder, tmp_path: Path
) -> None:
    with shop() as store:
        filter_pairs(store, SETTINGS, embedder)
        rows = drawn(store, 60)  # no pair of this shop lies below sigma
        answer(store, rows)
        before = reviewed_precision(store)
        assert before is not None
        assert before.reviewed == 60
        assert not before.earlier_fit
        audit_filter(store, embedder)
        filter_pairs(store, SETTINGS, embedder)
        after = reviewed_precision(store)
        assert after is not None
        assert after.earlier_fit
        assert "drawn before the last fit" in str(after)
        assert before.precision == after.precision == 1.0
        assert min(before.low, after.low) > 0.9
        assert before.high == after.high == 1.0
        audit_filter(store, embedder)
        assert status(store)
        write_report(store, tmp_path / "report.html")
        assert str(after) in (tmp_path / "report.html").read_text("utf-8")


def test_reviews_of_a_filter_whose_fit_was_dropped_measure_it_alone(embedder: Embedder) -> None:
    with described_shop() as store:
        filter_pairs(store, FilterSettings(0.5, rule="paper"), embedder)
        rows = draw_sample(store, 3)
        answer(store, rows, lower=1)
        filter_pairs(store, FilterSettings(0.55, rule="paper"), embedder)
        assert reviewed_precision(store) is not None
        store.connection.execute("DELETE FROM filter_fits WHERE filter_id = 1")
        assert reviewed_precision(store) is None
        # Without a row for either, equal NULLs prove nothing of two filters, and one is itself.
        store.connection.execute("DELETE FROM filter_fits")
        assert reviewed_precision(store) is None
        store.connection.execute("UPDATE filters SET current = filter_id = 1")
        store.connection.execute("UPDATE qp_candidates SET filter_id = 1")
        assert reviewed_precision(store) is not None
