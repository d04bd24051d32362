from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from genfilt.features.embed import Embedder
from genfilt.filter.agreement.agreement_table import agreement_table
from genfilt.filter.agreement.attribute_values import (
    Family,
    Product,
    RequestedValue,
    query_words,
    values_of_product,
    values_of_query,
)
from genfilt.filter.agreement.request_words import qualified
from genfilt.filter.agreement.value_matching import (
    CONFIRM,
    CONTRADICT,
    SILENT,
    ValueMatcher,
    explain,
)
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.protocols import Attributes

READER = Lexicon({"nike": "Nike", "asus": "Asus"}, ())
NOTHING = Attributes(None, None, None, None, None, "")


def asks(query: str) -> tuple[RequestedValue, ...]:
    return values_of_query(query, READER.attributes(query))


def product(title: str, caption: str = "") -> Product:
    return values_of_product(title, READER.attributes(title), caption)


def test_a_query_is_read_into_what_it_asks_for() -> None:
    assert asks("women's navy hooded sweatshirt") == (
        ("type", "hoodie"),
        ("color", "navy"),
        ("audience", "women"),
    )
    assert set(asks("nike running shorts for him, quilted")) == {
        ("type", "shorts"),
        ("brand", "nike"),
        ("audience", "men"),
        ("words", "quilted"),
    }
    assert ("parameters", "128gb") in asks("128 GB phone")
    assert values_of_query("", NOTHING) == ()
    assert values_of_query("green mug", None) == (("words", "green"), ("words", "mug"))


def test_a_word_that_many_of_a_kind_have_qualifies_it() -> None:
    shirts = [product(f"Button-up Linen Shirt {n}") for n in range(4)]
    others = [product("Zorblat Shirt"), product("Zorblat Mug"), *(product("Mug"),) * 8]
    requested = [asks("zorblat button-up shirt"), asks("zorblat mug"), asks("button-up")]
    words = [
        {value for value in each if value[0] in ("words", "qualifier")}
        for each in qualified(requested, [*shirts, *others])
    ]
    assert words[0] == {("words", "zorblat"), ("qualifier", "button"), ("qualifier", "up")}
    assert words[1] == {("words", "zorblat")}
    assert words[2] == {("words", "button"), ("words", "up")}  # of no kind
    assert qualified([()], []) == [()]


def test_of_several_things_in_a_picture_the_one_that_is_sold_counts() -> None:
    seen = values_of_product(
        "Atlas Tank", READER.attributes("Atlas Tank"), "a man in black shorts and a red tank top"
    )["picture"]
    assert ("type", "tank") in seen.values
    assert ("color", "red") in seen.values
    assert ("color", "black") not in seen.values
    assert ("audience", "men") in seen.values


@pytest.mark.parametrize(
    ("family", "requested", "shown", "expected"),
    [
        ("color", "blue", "navy", CONFIRM),  # navy is a blue
        ("color", "navy", "blue", SILENT),  # not every blue is navy
        ("color", "red", "green", CONTRADICT),
        ("color", "red", "orange", SILENT),  # people take one for the other
        ("type", "sweatshirt", "hoodie", CONFIRM),
        ("type", "hoodie", "sweatshirt", SILENT),
        ("type", "tank", "jacket", CONTRADICT),
        ("type", "tank", "top", SILENT),
        ("type", "pants", "top", CONTRADICT),
        ("type", "frobnicator", "tank", SILENT),
        ("material", "cotton", "organic cotton", CONFIRM),
        ("material", "cotton", "leather", CONTRADICT),
        ("parameters", "128gb", "128gb", CONFIRM),
        ("parameters", "128gb", "256gb", CONTRADICT),
        ("parameters", "128gb", "15 inch", SILENT),
        ("audience", "women", "men", CONTRADICT),
        ("audience", "women", "unisex", SILENT),
        ("brand", "nike", "asus", CONTRADICT),
    ],
)
def test_values_agree_by_lemma_and_by_the_vocabularys_groups(
    family: Family, requested: str, shown: str, expected: int
) -> None:
    assert ValueMatcher().compare((family, requested), shown) == expected


def test_the_same_thing_written_otherwise_is_confirmed() -> None:
    for query, title in (
        ("tshirts", "Aero Daily Fitness Tee"),
        ("trousers", "Kratos Gym Pant"),
        ("128GB phone", "Phone 128 GB"),
        ("nike shoes", "Running shoes by Nike"),
    ):
        matcher, title_says = ValueMatcher(), product(title)["title"]
        assert [matcher.agreement(each, title_says)[0] for each in asks(query)] == [CONFIRM] * len(
            asks(query)
        )


def test_unknown_words_are_synonyms_by_embedding(embedder: Embedder) -> None:
    def similar(left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        return embedder.encode(left) @ embedder.encode(right).T

    requested: tuple[RequestedValue, ...] = (("type", "bathmat"), ("type", "jacket"))
    products = [
        values_of_product("x", Attributes(word, None, None, None, None, ""), "")
        for word in ("bath mats", "tee", "zugzwang")
    ]
    matcher = ValueMatcher.of(requested, products, similar)
    assert matcher.compare(("type", "bathmat"), "bath mat") == CONFIRM
    assert matcher.compare(("type", "bathmat"), "zugzwang") == SILENT
    assert matcher.compare(("type", "jacket"), "tee") == CONTRADICT  # the vocabulary knows both


def test_reasons_name_what_agrees_and_where_it_was_seen() -> None:
    matcher, hoodie = ValueMatcher(), product("Borel sweatshirt", "a man wearing a navy hoodie")
    requested = asks("women's blue sweatshirt")
    assert explain(matcher, requested, hoodie, [("audience", "picture")]) == (
        True,
        "type: sweatshirt; colour: blue = navy, from the picture; "
        "audience: women, not men, from the picture",
    )
    assert explain(matcher, requested, hoodie, [])[0] is False
    assert explain(matcher, asks("quilted"), product("Borel hoodie"), []) == (False, "")


def test_a_conflict_of_title_and_picture_names_both_and_vetoes_nothing() -> None:
    jacket = product("Emerald Yoga Jacket", "a gray jacket")
    vetoed, reasons = explain(ValueMatcher(), asks("green jacket"), jacket, [("color", "picture")])
    assert not vetoed
    assert (
        reasons
        == "type: jacket; colour: green = emerald; colour: green, not gray, from the picture"
    )


def test_the_table_of_verdicts_is_that_of_single_ones() -> None:
    queries = ["red nike tank for women", "navy 128 GB phone case", "cotton striped shirts"]
    values = sorted({each for query in queries for each in asks(query)})
    products = [
        product("Bella Tank", "a woman wearing a red tank"),
        product("Nike tank", ""),
        product("Nike tank", "a blue striped tank"),
        product("Phone case 128GB", "a navy phone case"),
        product("Something that has no name", ""),
    ]
    kept = agreement_table(ValueMatcher(), values, products)
    table = kept.at(np.arange(len(products))[:, None], np.arange(len(values)))
    assert table.shape == (2, len(products), len(values))
    assert set(table.ravel().tolist()) == {CONFIRM, SILENT, CONTRADICT}
    for layer, source in enumerate(("title", "picture")):
        for row, each in enumerate(products):
            for column, value in enumerate(values):
                single = ValueMatcher().agreement(value, each[source])[0]
                assert table[layer, row, column] == single
    nothing = np.zeros((1, 0), dtype=np.int64)
    assert agreement_table(ValueMatcher(), values, []).at(nothing, nothing).shape == (2, 1, 0)
    assert agreement_table(ValueMatcher(), [], products).at(nothing, nothing).shape == (2, 1, 0)


def test_the_querys_own_words_are_confirmed_by_the_title_alone() -> None:
    assert query_words("Women's red mugs for the red kitchen") == tuple(
        ("query words", lemma) for lemma in ("women", "red", "mug", "kitchen")
    )
    products = [product("Red mug", "a blue kitchen"), product("Kitchen lamp", "a red mug")]
    values = list(query_words("red kitchen"))
    table = agreement_table(ValueMatcher(), values, products)
    found = table.at(np.arange(2)[:, None], np.arange(2))
    assert found[0].tolist() == [[CONFIRM, SILENT], [SILENT, CONFIRM]]
    assert not found[1].any()
