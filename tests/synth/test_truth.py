"""Truth, labels, clicks and held-out words of the generated catalogue."""

import re
from pathlib import Path

import pytest

import genfilt
import trainer
from genfilt.synth.word_lists import Words, load_word_lists
from tests.synth.conftest import PRODUCTS, Catalogue


def naive_relevant(catalogue: Catalogue) -> set[tuple[str, str]]:
    names = ("type", "material", "brand", "pattern", "gender", "model")
    products = catalogue.rows(
        f"SELECT product_id, color, color_family, {', '.join(names)} FROM facets"
    )
    needs = catalogue.rows(f"SELECT query_id, color, {', '.join(names)} FROM needs")
    return {
        (query, product)
        for query, asked, *wanted in needs
        for product, color, family, *has in products
        if asked in (None, color, family)
        and all(want in (None, value) for want, value in zip(wanted, has, strict=True))
    }


def test_relevant_is_having_every_facet_that_the_query_names(catalogue):
    found = catalogue.rows("FROM relevant")
    assert len(found) == len(set(found))
    assert set(found) == naive_relevant(catalogue)
    assert 0.01 < len(found) / PRODUCTS / catalogue.summary.queries < 0.05


def test_every_query_can_be_met_where_it_is_measured(catalogue):
    unmet = """
        SELECT count(*) FROM needs n WHERE NOT EXISTS (
            FROM relevant r JOIN facets f USING (product_id)
            WHERE r.query_id = n.query_id AND (f.split <> 'train') = n.held_out
        )"""
    assert catalogue.value(unmet) == 0
    assert catalogue.value("SELECT count(*) FROM queries ANTI JOIN clicks USING (query_id)") == 0


def test_labels_are_true_and_half_positive(catalogue):
    known = "labels l LEFT JOIN relevant r USING (query_id, product_id)"
    wrong = f"SELECT count(*) FROM {known} WHERE (l.label = 1) <> (r.product_id IS NOT NULL)"
    assert catalogue.value(wrong) == 0
    assert catalogue.value("SELECT avg(label) FROM labels") == pytest.approx(0.5, abs=0.05)
    grades = dict(catalogue.rows("SELECT grade, count(*) FROM labels WHERE label = 0 GROUP BY 1"))
    assert grades["partial"] == pytest.approx(grades["irrelevant"], rel=0.5)


def test_a_partial_product_lacks_one_facet(catalogue):
    others = ("material", "brand", "pattern", "gender", "model")
    lacking = " + ".join(
        f"(n.{name} IS NOT NULL AND n.{name} IS DISTINCT FROM f.{name})::INT" for name in others
    )
    missed = f"""
        SELECT DISTINCT (n.type IS DISTINCT FROM f.type)::INT + {lacking}
          + (n.color IS NOT NULL AND n.color NOT IN (f.color, f.color_family))::INT
        FROM labels l JOIN needs n USING (query_id) JOIN facets f USING (product_id)
        WHERE l.grade = 'partial'"""
    assert catalogue.rows(missed) == [(1,)]


def test_clicks_are_mostly_right_and_favour_the_popular(catalogue):
    right = """
        SELECT avg((r.product_id IS NOT NULL)::INT)
        FROM clicks LEFT JOIN relevant r USING (query_id, product_id)"""
    assert 0.8 < catalogue.value(right) < 0.98
    shares = [
        n
        for (n,) in catalogue.rows(
            "SELECT sum(clicks) FROM clicks GROUP BY product_id ORDER BY 1 DESC"
        )
    ]
    assert sum(shares[: PRODUCTS // 10]) > 0.3 * sum(shares)


def held_out_words() -> list[str]:
    vocabulary = load_word_lists()
    lists: list[Words] = [
        *(kind.words for kind in vocabulary.types.values()),
        *(
            words
            for color in vocabulary.colors.values()
            for words in (color.words, color.family_words)
            if words
        ),
        *vocabulary.materials.values(),
        *vocabulary.patterns.values(),
        *(
            words
            for gender in vocabulary.genders.values()
            for words in (gender.words, gender.after)
        ),
        *(
            words
            for category in vocabulary.categories.values()
            for words in (category.brands, category.lines)
        ),
        vocabulary.extras,
    ]
    return [word for words in lists for word in words.held_out]


def test_nothing_outside_the_held_out_rows_says_a_held_out_word(catalogue):
    words = re.compile(
        "|".join(rf"(?<!\w){re.escape(word)}(?:e?s)?(?!\w)" for word in held_out_words()),
        re.IGNORECASE,
    )
    seen = catalogue.rows(
        "SELECT title FROM products JOIN facets USING (product_id) WHERE NOT held_out"
    )
    seen += catalogue.rows(
        "SELECT query FROM queries JOIN needs USING (query_id) WHERE NOT held_out"
    )
    assert [text for (text,) in seen if words.search(text)] == []
    spoken = catalogue.rows("SELECT query FROM queries JOIN needs USING (query_id) WHERE held_out")
    assert [text for (text,) in spoken if not words.search(text)] == []


def test_no_train_row_meets_the_held_out(catalogue):
    assert catalogue.value("SELECT count(*) FROM facets WHERE held_out AND split = 'train'") == 0
    for table in ("clicks", "labels"):
        met = f"SELECT held_out FROM {table} JOIN needs USING (query_id) WHERE split = 'train'"
        assert set(catalogue.rows(met)) == {(False,)}
    share = catalogue.summary.held_out_queries / catalogue.summary.queries
    assert share == pytest.approx(0.25, abs=0.05)


def test_a_third_of_the_vocabulary_is_held_out():
    vocabulary = load_word_lists()
    groups = {
        "types": [kind.words for kind in vocabulary.types.values()],
        "brands": [category.brands for category in vocabulary.categories.values()],
        "lines": [category.lines for category in vocabulary.categories.values()],
        "materials": list(vocabulary.materials.values()),
        "colors": [color.words for color in vocabulary.colors.values()],
        "phrasings": [vocabulary.title_forms, vocabulary.query_forms, vocabulary.query_wrappers],
    }
    for name, lists in groups.items():
        held_out = sum(len(words.held_out) for words in lists)
        total = held_out + sum(len(words.seen) for words in lists)
        assert held_out / total == pytest.approx(1 / 3, abs=0.04), name
    assert len(vocabulary.types) >= 20
    assert len(vocabulary.categories) >= 4


def test_the_vocabulary_is_read_by_synth_alone():
    for package in (genfilt, trainer):
        root = Path(package.__file__).parent
        for path in root.rglob("*.py"):
            if path.parent.name != "synth":
                text = path.read_text(encoding="utf-8")
                assert "synth.vocabulary" not in text, path
                assert "vocabulary.toml" not in text, path
