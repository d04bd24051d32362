from __future__ import annotations

import pytest

from genfilt.filter.agreement.attribute_values import FAMILIES, Product, TextValues
from genfilt.filter.agreement.value_matching import FAMILY_NAMES, ValueMatcher, explain
from genfilt.inspect.wording import reasons_in_words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("type: cushion", "kind of product: cushion (in the title)"),
        ("type: cushion, from the picture", "kind of product: cushion (in the picture)"),
        ("type: sweatshirt = hoodie", "kind of product: sweatshirt (hoodie in the title)"),
        ("colour: blue = navy, from the picture", "colour: blue (navy in the picture)"),
        ("audience: women, not men", "made for: women, but men in the title"),
        (
            "type: tee, not screw, from the picture",
            "kind of product: tee, but screw in the picture",
        ),
        ("parameter: 43 inch, by its clicks",
         "size or model: 43 inch (shoppers' clicks say so)"),
        ("type: tee, unlike its clicks",
         "kind of product: tee, but shoppers' clicks speak against it"),
        ("word: up, by clicks on such titles",
         "word: up (shoppers' clicks on products with such titles say so)"),
        ("title alone", "judged by the title alone, since nothing was read from a picture"),
        ("something else", "something else"),
        ("a\u202eb\x00c", "a b c"),
    ],
)  # fmt: skip
def test_a_reason_in_words(reason: str, words: str) -> None:
    assert reasons_in_words(reason) == [words]


def test_reasons_are_kept_apart() -> None:
    assert reasons_in_words(None) == []
    assert reasons_in_words("; type: ring;; colour: gold; ") == [
        "kind of product: ring (in the title)",
        "colour: gold (in the title)",
    ]


def test_the_filters_own_reasons_are_understood() -> None:
    shown = TextValues((("type", "mug"), ("color", "navy")), frozenset())
    silent = TextValues((), frozenset())
    product: Product = {"title": shown, "picture": silent}
    _, reasons = explain(ValueMatcher(), [("type", "hoodie"), ("color", "blue")], product, ())
    assert reasons_in_words(reasons) == [
        "kind of product: hoodie, but mug in the title",
        "colour: blue (navy in the title)",
    ]
    assert set(FAMILY_NAMES) <= set(FAMILIES)
