"""Core words of German titles: capitalised nouns, never a colour or a material."""

from __future__ import annotations

import pytest

from genfilt.generators.tagger.brand_statistics import BrandTable
from genfilt.generators.tagger.german_nouns import noun_places
from genfilt.generators.tagger.tagger import Tagger
from genfilt.vocabulary.tokens import tokenize

BLANK = Tagger(BrandTable(frozenset(), frozenset()))


def nouns(title: str) -> list[str] | None:
    tokens = tokenize(title)
    places = noun_places(tokens)
    return (
        None if places is None else [t.text for t, may in zip(tokens, places, strict=True) if may]
    )


def test_nouns_are_the_capitalised_words_that_are_no_material_and_no_audience() -> None:
    assert nouns("Hundeleine Leder braun 2 m") == ["Hundeleine"]
    assert nouns("Faltbarer Korb grau 50 Liter") == ["Faltbarer", "Korb"]
    assert nouns("Damen Tasche aus Leder rot") == ["Tasche"]


@pytest.mark.parametrize(
    "title",
    [
        "Blue cotton shirt",
        "leather bag",
        "tasche aus leder",
        "TASCHE AUS LEDER",
        "Leder schwarz",
        "",
    ],
)
def test_other_titles_are_left_as_they_are(title: str) -> None:
    assert nouns(title) is None


@pytest.mark.parametrize(
    ("title", "core"),
    [
        ("Damen Handtasche aus Leder rot", "handtasche"),
        ("Regenschirm klein rot", "regenschirm"),
        ("Kopfhörer kabellos schwarz", "kopfhörer"),
        ("Gartenschere für Rosen", "gartenschere"),
        ("Tasse mit Henkel gelb", "tasse"),
    ],
)
def test_the_core_word_of_a_german_title_is_a_noun(title: str, core: str) -> None:
    found = BLANK.attributes(title)
    assert found.core_word == core
    assert found.brand is None


def test_a_brand_of_german_titles_is_one_of_the_catalogue() -> None:
    kinds = ("Tasse mit Henkel", "Kanne für Tee", "Teller weiß", "Löffel aus Holz", "Topf grau")
    reader = Tagger.fit([f"Bosch {kind}" for kind in kinds])
    assert reader.attributes("Bosch Pfanne für Gas").brand == "Bosch"
    assert reader.attributes("Hundeleine Leder braun 2 m").brand is None
