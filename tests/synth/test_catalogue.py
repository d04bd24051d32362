"""The generated catalogue as a whole: files, splits, truth, held-out words, traps, faults."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

import genfilt
import trainer
from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from genfilt.synth import SynthSummary, synthesize
from genfilt.synth.word_lists import Words, load_word_lists

PRODUCTS = 600


@dataclass(frozen=True)
class Catalogue:
    folder: Path
    summary: SynthSummary
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def value(self, sql: str) -> float:
        ((value,),) = self.rows(sql)
        return value


def opened(folder: Path, summary: SynthSummary) -> Catalogue:
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{folder / 'truth.duckdb'}' AS truth (READ_ONLY)").fetchall()
    for name in ("products", "queries", "clicks", "labels"):
        connection.execute(f"CREATE TABLE {name} AS FROM '{folder / name}.csv'").fetchall()
    connection.execute("CREATE VIEW facets AS FROM truth.facets").fetchall()
    connection.execute("CREATE VIEW needs AS FROM truth.needs").fetchall()
    connection.execute("CREATE TABLE relevant AS FROM truth.relevant").fetchall()
    return Catalogue(folder, summary, connection)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth") / "catalogue"
    made = opened(folder, synthesize(PRODUCTS, folder, seed=3))
    yield made
    made.connection.close()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".duckdb"
    }


def truth_rows(folder: Path) -> list[list[tuple]]:
    with duckdb.connect(str(folder / "truth.duckdb"), read_only=True) as connection:
        return [
            connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
            for table in ("facets", "needs", "relevant")
        ]


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesize(60, tmp_path / name, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert truth_rows(tmp_path / "a") == truth_rows(tmp_path / "b")
    assert digests(tmp_path / "a")["products.csv"] != digests(tmp_path / "c")["products.csv"]


def test_summary_counts_what_was_written(catalogue):
    summary = catalogue.summary
    assert summary.products == PRODUCTS
    for name in ("products", "queries", "clicks", "labels"):
        assert getattr(summary, name) == catalogue.value(f"SELECT count(*) FROM {name}")
    assert summary.pictures == len(list((catalogue.folder / "images").rglob("*.jpg")))
    for count, flag in (
        ("near_duplicates", "near_duplicate"),
        ("stuffed", "stuffed"),
        ("misleading", "misleading"),
        ("falsified", "falsified"),
        ("wrong_pictures", "wrong_picture"),
        ("held_out_products", "held_out"),
    ):
        expected = catalogue.value(f"SELECT count(*) FROM facets WHERE {flag}")
        assert getattr(summary, count) == expected > 0
    assert summary.styles == catalogue.value("SELECT count(DISTINCT style) FROM facets")
    assert summary.needs == catalogue.value("SELECT count(DISTINCT need) FROM needs")
    assert summary.held_out_queries == catalogue.value("SELECT count(*) FROM needs WHERE held_out")
    brand_only = catalogue.value("SELECT count(*) FROM needs WHERE brand_only")
    assert summary.brand_only_queries == brand_only > 0


def test_ingest_takes_every_row_and_picture(catalogue):
    folder = catalogue.folder
    files = {
        name: str(folder / f"{name}.csv") for name in ("products", "queries", "clicks", "labels")
    }
    with Store() as store:
        counts = ingest(store, Sources(**files, images=folder))
    assert counts["failed"] == 0
    assert {name: counts[name] for name in files} == {
        name: getattr(catalogue.summary, name) for name in files
    }


def test_styles_are_never_divided_between_splits(catalogue):
    assert (
        catalogue.value(
            "SELECT max(n) FROM (SELECT count(DISTINCT split) n FROM facets GROUP BY style)"
        )
        == 1
    )
    shares = dict(catalogue.rows(f"SELECT split, count(*) / {PRODUCTS} FROM facets GROUP BY 1"))
    assert shares["train"] == pytest.approx(0.8, abs=0.08)
    assert shares["val"] == pytest.approx(0.1, abs=0.06)
    for table in ("clicks", "labels"):
        same = (
            f"SELECT DISTINCT t.split = p.split FROM {table} t JOIN products p USING (product_id)"
        )
        assert catalogue.rows(same) == [(True,)]
        assert catalogue.value(f"SELECT count(DISTINCT split) FROM {table}") == 3


def test_a_near_duplicate_has_a_twin_in_all_facets(catalogue):
    lonely = """
        SELECT count(*) FROM facets d WHERE near_duplicate AND NOT EXISTS (
            FROM facets f
            WHERE f.style = d.style AND f.color = d.color AND f.product_id <> d.product_id
        )"""
    assert catalogue.value(lonely) == 0


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


def test_electronics_tell_most_in_the_title_and_apparel_least(catalogue):
    stated = dict(
        catalogue.rows(
            "SELECT category, avg(list_contains(stated, 'color')::INT) FROM facets GROUP BY 1"
        )
    )
    assert stated["electronics"] > 0.5 > 0.3 > stated["apparel"]


def test_attack_sets_more_of_every_trap(catalogue, tmp_path):
    attacked = synthesize(PRODUCTS, tmp_path / "attacked", seed=3, attack=True, pictures=False)
    for trap in (
        "near_duplicates",
        "stuffed",
        "misleading",
        "falsified",
        "wrong_pictures",
        "brand_only_queries",
    ):
        assert getattr(attacked, trap) > 1.5 * getattr(catalogue.summary, trap), trap


def test_progress_takes_every_product(tmp_path):
    done = []
    synthesize(70, tmp_path / "tracked", pictures=False, progress=done.append)
    assert sum(done) == 70


def test_without_pictures_no_image_is_named(tmp_path):
    summary = synthesize(50, tmp_path / "plain", pictures=False)
    assert summary.pictures == 0
    assert not (tmp_path / "plain" / "images").exists()
    products = duckdb.sql(
        f"SELECT count(image) FROM '{tmp_path / 'plain' / 'products.csv'}'"
    ).fetchall()
    assert products == [(0,)]


def test_too_few_products_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"49 products is too small.*--products"):
        synthesize(49, tmp_path / "few")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"no generated catalogue.*--out"):
        synthesize(50, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_catalogue_is_replaced_and_an_interrupted_one_cleared(tmp_path):
    out = tmp_path / "again"
    synthesize(60, out, pictures=False)
    leftover = tmp_path / ".again.partial"
    leftover.mkdir()
    (leftover / "products.csv").write_text("half a line")
    synthesize(50, out, seed=9, pictures=False)
    assert len((out / "products.csv").read_text().splitlines()) == 51
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_folder_that_cannot_be_made_is_one_plain_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be made"):
        synthesize(50, tmp_path / "file" / "inside")
