from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder, embed
from genfilt.features.texts import load_features, load_queries, load_texts, number_features
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.rules import audit_filter
from genfilt.inspect.report_sections import pair_steps
from genfilt.store.store import Store
from tests.described_shop import QUERIES, ask, describe, described_shop, judge

CANDIDATES = "SELECT q, f, q_i, q_t, cosine, score FROM qp_candidates ORDER BY q, f"
PAIRS = "SELECT f_image, f_title, i_t FROM it_candidates ORDER BY f_image, f_title"


@pytest.fixture
def store() -> Iterator[Store]:
    with described_shop() as opened:
        yield opened


def test_texts_are_numbered_once_each(store: Store) -> None:
    number_features(store)
    assert store.rows(
        "SELECT title_text, image_text, f_title, f_image FROM features ORDER BY f"
    ) == [
        ("red hoodie", "a red hoodie", 0, 0),
        ("hoodie", "a red hoodie", 1, 0),
        ("blue mug", "a blue mug", 2, 2),
        ("kettle", None, 3, None),
        ("Something that has no name", "a red hoodie", 4, 0),
    ]
    placed = dict(store.rows("SELECT product_id, f FROM product_no"))
    assert placed == {"p1": 0, "p2": 1, "p3": 2, "p4": 1, "p5": 3, "p6": 4}
    assert load_queries(store).texts == ["RED hoodie", "blue mug", "kettle"]
    assert load_texts(store, "image").texts == ["a red hoodie", "a blue mug"]
    features = load_features(store)
    assert features.f.tolist() == [0, 1, 2, 3, 4]
    assert features.pictured.tolist() == [True, True, True, False, True]


def test_numbers_stay_while_the_catalogue_changes(store: Store, embedder: Embedder) -> None:
    filter_pairs(store, FilterSettings(0.5), embedder)
    before = dict(store.rows("SELECT title_text, f FROM features WHERE image_text IS NOT NULL"))
    describe(store, [("p3", "Acme cup", "cup", None, "a blue mug", "train")])
    number_features(store)
    after = dict(store.rows("SELECT title_text, f FROM features WHERE image_text IS NOT NULL"))
    assert after["cup"] > max(before.values())
    assert all(after[text] == before[text] for text in set(before) & set(after))


@pytest.mark.parametrize("sigma", [0.9, 0.6, 0.2, -1.0])
def test_candidates_are_those_of_the_whole_product(
    store: Store, embedder: Embedder, sigma: float
) -> None:
    filter_pairs(store, FilterSettings(sigma, image_title_sigma=sigma), embedder)
    corpus = load_corpus(store, embedder)
    images, titles = corpus.image_rows(corpus.features), corpus.title_rows(corpus.features)
    q_i = corpus.q.astype(float) @ corpus.i.astype(float)[images].T
    q_t = corpus.q.astype(float) @ corpus.t.astype(float)[titles].T
    pictured = corpus.features.pictured
    score = np.where(pictured, (q_i + q_t) / 2, q_t)  # the kettle has a title alone
    expected = np.argwhere(score >= sigma - 1e-6)
    found = store.rows(CANDIDATES)
    numbers = [(corpus.queries.numbers[q], corpus.features.f[f]) for q, f in expected]
    assert [row[:2] for row in found] == numbers
    for row, (q, f) in zip(found, expected, strict=True):
        assert row[2] == (pytest.approx(q_i[q, f], abs=1e-6) if pictured[f] else None)
        assert row[3:] == pytest.approx((q_t[q, f], score[q, f], score[q, f]), abs=1e-6)
    alone = "SELECT DISTINCT q_i IS NULL FROM qp_candidates WHERE reasons = 'title alone'"
    assert store.rows(alone) == ([(True,)] if sigma <= 0.9 else [])
    i_t = corpus.i.astype(float) @ corpus.t.astype(float).T
    assert store.scalar("SELECT count(*) FROM it_candidates") == (i_t >= sigma - 1e-6).sum()


def test_corrections_leave_out_what_train_knows(store: Store, embedder: Embedder) -> None:
    judge(store, "clicks", [{"query_id": "q1", "product_id": "p1"}])
    judge(store, "labels", [{"query_id": "q1", "product_id": "p4", "label": "1", "split": "val"}])
    judge(store, "clicks", [{"query_id": "q4", "product_id": "p5"}])
    filter_pairs(store, FilterSettings(0.8), embedder)
    found = set(store.rows("SELECT query_id, product_id FROM query_product_corrections"))
    # p1 is clicked under either spelling of the query; p4's label is not the filter's to know.
    assert found == {("q1", "p2"), ("q2", "p2"), ("q1", "p4"), ("q2", "p4"), ("q3", "p3")}
    judge(store, "reviews", [{"query_id": "q2", "product_id": "p2", "verdict": 0}])
    found = set(store.rows("SELECT query_id, product_id FROM query_product_corrections"))
    assert found == {("q1", "p4"), ("q2", "p4"), ("q3", "p3")}


def test_a_product_without_a_picture_is_corrected_by_its_title(
    store: Store, embedder: Embedder
) -> None:
    filter_pairs(store, FilterSettings(0.8), embedder)
    rows = store.rows(
        "SELECT query_id, product_id, q_i, round(q_t, 4), round(score, 4), reasons "
        "FROM query_product_corrections WHERE q_i IS NULL"
    )
    assert rows == [("q4", "p5", None, 1.0, 1.0, "title alone")]
    store.connection.execute("DELETE FROM captions")
    filter_pairs(store, FilterSettings(0.8), embedder)
    assert store.scalar("SELECT count(*) FROM query_product_corrections WHERE q_i IS NULL") > 1
    assert not store.scalar("SELECT count(*) FROM query_product_corrections WHERE q_i > 0")


def test_each_word_of_a_feature_text_stands_once(store: Store) -> None:
    for core_word, color, expected in (
        ("leather jacket", "Black", "Black leather jacket"),
        ("Leather jacket", "black, red", "black, red leather jacket"),
        ("jacket", "black, black", "black, leather jacket"),
    ):
        store.connection.execute(
            "UPDATE attributes SET core_word = ?, color = ?, material = 'leather' "
            "WHERE title_key = (SELECT title_key FROM products WHERE product_id = 'p1')",
            [core_word, color],
        )
        number_features(store)
        found = store.rows(
            "SELECT title_text FROM features JOIN product_no USING (f) WHERE product_id = 'p1'"
        )
        assert found == [(expected,)]


def test_the_image_title_sigma_is_a_cosine_of_its_own(store: Store, embedder: Embedder) -> None:
    filter_pairs(store, FilterSettings(0.3, image_title_sigma=0.8), embedder)
    assert store.scalar("SELECT min(i_t) >= 0.8 - 1e-6 FROM it_candidates")
    assert store.scalar("SELECT count(*) FROM it_corrections") > 0
    filter_pairs(store, FilterSettings(0.3, image_title_sigma=0.99), embedder)
    assert not store.scalar("SELECT count(*) FROM it_corrections WHERE i_t < 0.98")


def test_pictures_are_matched_with_titles_of_other_products(
    store: Store, embedder: Embedder
) -> None:
    filter_pairs(store, FilterSettings(0.8), embedder)
    found = store.rows(
        "SELECT image_product_id, title_product_id FROM image_title_corrections ORDER BY ALL"
    )
    assert found == [("p2", "p1"), ("p4", "p1"), ("p6", "p1")]


def test_a_floor_stores_more_but_corrects_the_same(store: Store, embedder: Embedder) -> None:
    corrections = "SELECT query_id, product_id FROM query_product_corrections ORDER BY ALL"
    few = filter_pairs(store, FilterSettings(0.8), embedder)
    before = store.rows(corrections)
    many = filter_pairs(store, FilterSettings(0.8, floor=0.1), embedder)
    assert many.qp_candidates > few.qp_candidates
    assert store.rows(corrections) == before
    assert store.rows("SELECT filter_id, current FROM filters ORDER BY 1") == [
        (1, False),
        (2, True),
    ]
    assert store.rows("SELECT DISTINCT filter_id FROM qp_candidates") == [(2,)]


def test_only_what_is_new_is_joined(store: Store, embedder: Embedder) -> None:
    settings = FilterSettings(0.3)
    filter_pairs(store, settings, embedder)
    again = filter_pairs(store, settings, embedder)
    assert (again.filter_id, again.joined_queries, again.joined_features) == (1, 0, 0)
    ask(store, [("q5", "red sweatshirt")])
    describe(store, [("p7", "Corvo red scarf", "scarf", "red", "a red scarf", "train")])
    more = filter_pairs(store, settings, embedder)
    assert (more.filter_id, more.joined_queries, more.joined_features) == (1, 1, 1)
    stepwise = store.rows(CANDIDATES), store.rows(PAIRS)
    store.connection.execute("UPDATE filters SET current = false")
    filter_pairs(store, settings, embedder)
    assert (store.rows(CANDIDATES), store.rows(PAIRS)) == stepwise


def test_scores_do_not_depend_on_ids_names_or_categories(embedder: Embedder) -> None:
    found = []
    for rename in (str, lambda name: f"zz-{name[::-1]}"):
        with Store() as store:
            rows = [(rename(name), *rest) for name, *rest in describe_rows()]
            describe(store, rows[:: 1 if rename is str else -1])
            store.connection.execute("UPDATE products SET category = product_id")
            ask(store, [(rename(name), query) for name, query in QUERIES])
            filter_pairs(store, FilterSettings(0.2), embedder)
            found.append(
                store.rows(
                    "SELECT DISTINCT lower(query), title, caption, round(score, 9) "
                    "FROM query_product_corrections ORDER BY ALL"
                )
            )
    assert found[0] == found[1]


def describe_rows() -> list[tuple[str, ...]]:
    from tests.described_shop import PRODUCTS

    return [tuple(row) for row in PRODUCTS]  # type: ignore[arg-type]


def test_too_many_pairs_stop_and_leave_the_earlier_filter(store: Store, embedder: Embedder) -> None:
    filter_pairs(store, FilterSettings(0.8), embedder)
    before = store.rows(CANDIDATES)
    with pytest.raises(UserError, match="More than 3 pairs"):
        filter_pairs(store, FilterSettings(-1.0, max_pairs=3), embedder)
    assert store.rows(CANDIDATES) == before
    assert store.rows("SELECT filter_id FROM filters WHERE current") == [(1,)]


def test_filter_needs_captions(embedder: Embedder) -> None:
    with Store() as store, pytest.raises(UserError, match="run genfilt extract"):
        filter_pairs(store, FilterSettings(), embedder)


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="--sigma must be from -1 to 1, got 1.5"):
        FilterSettings(1.5)
    with pytest.raises(UsageError, match="--floor must be at most --sigma 0.5, got 0.9"):
        FilterSettings(0.5, floor=0.9)
    with pytest.raises(UsageError, match="--floor must be from -1 to 1, got nan"):
        FilterSettings(0.5, floor=float("nan"))


def test_texts_are_embedded_once(store: Store, embedder: Embedder) -> None:
    first = embed(store, embedder, ["red hoodie", "mug", "red hoodie"])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(first[0], first[2])
    assert store.scalar("SELECT count(*) FROM vectors") == 2
    fresh = Embedder()
    again = embed(store, fresh, ["mug", "red hoodie"])
    np.testing.assert_array_equal(again, first[[1, 0]])
    assert fresh._model is None  # nothing had to be computed
    assert embed(store, embedder, []).shape[0] == 0


def test_an_unknown_embedder_is_named(store: Store, tmp_path: object) -> None:
    with pytest.raises(UserError, match="holds no model weights"):
        Embedder(str(tmp_path))


def test_texts_that_no_product_has_any_more_count_as_no_candidates(
    store: Store, embedder: Embedder
) -> None:
    filter_pairs(store, FilterSettings(0.5), embedder)
    describe(store, [("p5", "kettle", "kettle", None, "a kettle", "train")])
    made = filter_pairs(store, FilterSettings(0.5), embedder)
    stored = store.scalar("SELECT count(*) FROM qp_candidates")
    reached = store.scalar(
        "SELECT count(*) FROM qp_candidates WHERE f IN (SELECT f FROM product_no)"
    )
    assert reached < stored  # the title without its picture stays: features.f_title names it
    assert made.qp_candidates == reached
    q1 = {"query_id": "q1", "split": "train"}
    pairs = [q1 | {"product_id": "p1", "label": 1}, q1 | {"product_id": "p3", "label": 0}]
    judge(store, "labels", pairs)
    assert audit_filter(store, embedder).pairs[50] == reached
    assert pair_steps(store)[1]["count"] == reached
    assert pair_steps(store)[3]["count"] == reached


def test_corrections_are_counted_by_what_training_can_see(store: Store, embedder: Embedder) -> None:
    judge(store, "labels", [{"query_id": "q3", "product_id": "p3", "label": 0, "split": "val"}])
    made = filter_pairs(store, FilterSettings(0.8), embedder)
    rows = store.rows("SELECT split, held_out_verdict, q_i FROM query_product_corrections")
    assert made.corrections == len(rows)
    assert made.train_corrections == sum(split == "train" for split, _, _ in rows)
    assert made.new_corrections == made.train_corrections - 1  # the mug has a verdict of val
    assert made.title_alone == sum(q_i is None for _, _, q_i in rows) == 1
