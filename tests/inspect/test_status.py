from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.extract.titles import extract_attributes
from genfilt.generators.fitted import fitted_lexicon
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.inspect.status import status, warnings
from genfilt.store.store import Store, now

OLD_DATABASE = Path(__file__).parents[1] / "store" / "data" / "version-1.duckdb.gz"
ENGLISH = ("Acme red hoodie for women", "Borel steel kettle 2 L", "Black leather running shoes")
FOREIGN = {
    "de": ("Damen Kapuzenpullover rot", "Edelstahl Wasserkocher", "Schwarze Laufschuhe für Herren"),
    "es": ("Sudadera roja de algodón", "Hervidor de agua de acero", "Zapatillas para correr"),
    "ja": ("女性用 赤い パーカー", "電気ケトル ステンレス", "ランニングシューズ 黒"),
    "ru": ("красная толстовка женская", "стальной чайник", "кроссовки для бега"),
    "ar": ("قميص نسائي أحمر", "غلاية كهربائية", "حذاء جري أسود"),
}


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        opened.set_meta("llm", "lexicon-abc")
        yield opened


def take_in(store: Store, titles: tuple[str, ...], first: int = 0, split: str = "train") -> None:
    ids = [str(first + number) for number, _ in enumerate(titles)]
    table = pa.table({"product_id": ids, "title": list(titles), "split": [split] * len(titles)})
    ingest(store, Sources(products=table))


def filtered(store: Store, embedder: str) -> None:
    values = [1, "paper", 0.9, 0.9, 0.9, None, None, embedder, "l", "c", "t", now(), True, 0, 0]
    store.connection.execute(f"INSERT INTO filters VALUES ({', '.join('?' * 15)})", values)
    store.connection.execute("INSERT INTO filter_fits VALUES (1, NULL, NULL, NULL, ?)", [now()])


def test_english_titles_warn_of_nothing(store: Store) -> None:
    take_in(store, ENGLISH)
    filtered(store, "all-MiniLM-L6-v2")
    assert not warnings(store)


@pytest.mark.parametrize("language", FOREIGN)
def test_titles_in_another_language_are_seen(store: Store, language: str) -> None:
    take_in(store, FOREIGN[language])
    (warning,) = warnings(store)
    assert "lexicon" in warning
    assert "MiniLM" not in warning
    filtered(store, "all-MiniLM-L6-v2")
    assert "MiniLM" in warnings(store)[0]
    store.connection.execute("UPDATE filters SET embedder = 'all-MiniLM-L6-v2+bfloat16'")
    assert "MiniLM" in warnings(store)[0]
    store.set_meta("llm", "vllm:some-model")
    assert "lexicon" not in warnings(store)[0]
    store.connection.execute("UPDATE filters SET embedder = 'some/multilingual-model'")
    assert not warnings(store)
    assert [row["detail"] for row in status(store) if row["what"] == "warning"] == []


def test_titles_without_words_say_nothing(store: Store) -> None:
    take_in(store, ("", "12345", "🙂"))
    assert not warnings(store)


def test_a_catalogue_that_has_grown_since_the_fit_is_seen(store: Store) -> None:
    titles = tuple(f"{ENGLISH[n % 3]} {n}" for n in range(20))
    take_in(store, titles[:10])
    for generator in ("lexicon-abc", "lexicon-old"):
        values = [generator, b"", 10, now()]
        store.connection.execute("INSERT INTO generator_states VALUES (?, ?, ?, ?)", values)
    take_in(store, titles[10:11], first=10)
    take_in(store, titles[12:], first=12, split="val")  # a generator learns from train alone
    assert not warnings(store)
    take_in(store, titles[11:12], first=11)
    (warning,) = warnings(store)
    assert warning.startswith("lexicon-abc was fitted to 10 train products and there are 12")
    assert "--refit" in warning
    rows = [row for row in status(store) if row["what"] == "warning"]
    assert [row["detail"] for row in rows] == [warning]


def test_a_dropped_fit_is_named_in_a_migrated_database_alone(tmp_path: Path) -> None:
    with Store() as store:
        filtered(store, "some/model")
        store.connection.execute("DELETE FROM filter_fits")
        assert not warnings(store)
    old = tmp_path / "old.duckdb"
    old.write_bytes(gzip.decompress(OLD_DATABASE.read_bytes()))
    with Store(old) as store:
        assert store.rows("SELECT rule FROM filters WHERE current") == [("calibrated",)]
        (warning,) = [text for text in warnings(store) if "migrated" in text]
        assert warning.endswith("run genfilt filter --rule calibrated")
        store.connection.execute(
            "INSERT INTO filter_fits SELECT filter_id, '{}', '{}', '{}', now() FROM filters "
            "WHERE current"
        )
        assert not [text for text in warnings(store) if "migrated" in text]


@pytest.mark.parametrize(
    ("titles", "warned"),
    [
        (("Fly fishing reel 5wt", "Bobbin case for overlocker", "Potassium nitrate 500 g"), True),
        (("Red hoodie", "Leather sandals for women", "Running shoes black"), False),
    ],
)
def test_titles_outside_the_word_lists_name_the_tagger(
    titles: tuple[str, ...], warned: bool
) -> None:
    with Store() as store:
        take_in(store, titles)
        extract_attributes(store, fitted_lexicon(store))
        found = [line for line in warnings(store) if "extract --llm tagger" in line]
        assert len(found) == warned
        store.set_meta("llm", "tagger-abc")
        assert not any("--llm tagger" in line for line in warnings(store))
