"""What the lexicon reads in titles and queries, and what it learns from a catalogue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genfilt.common.errors import UserError
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.vocabulary.parameters import find_parameters
from genfilt.vocabulary.terms import (
    canonical_core_word,
    canonical_parameter,
    color_family,
    colors_close,
    core_word_family,
    core_word_relation,
    material_family,
    vocabulary,
    worn,
)
from genfilt.vocabulary.tokens import clean, tokenize

BLANK = Lexicon({}, ())


def read(title: str) -> dict[str, str]:
    found = BLANK.attributes(title)
    fields = ("core_word", "material", "brand", "color", "model_parameters")
    return {name: getattr(found, name) for name in fields if getattr(found, name) is not None}


@pytest.mark.parametrize(
    ("title", "core_word"),
    [
        ("Leather Wallet Case for Samsung Galaxy A52", "wallet case"),
        ("Phone Case for iPhone 12 13 14 Pro Max Samsung Galaxy S21 Case Cover", "phone case"),
        ("Electra Bra Top", "bra top"),
        ("Riona Full-Zip Jacket", "jacket"),
        ("Daphne Full Zip Hoodie", "hoodie"),
        ("Gabrielle Micro Sleeve Top", "top"),
        ("coffee table book", "book"),
        ("Solid Oak Coffee Table with Glass Top", "coffee table"),
        ("Set of 4 Cotton Bath Towels", "bath towel"),
        ("Pair of Socks", "socks"),
        ("Women Summer Dress Casual Loose Beach Dresses Party Skirt", "dress"),
        ("Flower Vase Brass Chocolate", "flower vase"),
        ("Sofa 3 Seater, matches your dining chair", "sofa"),
        ("Apple iPhone 12 64GB Blue", "phone"),
        ("Drawstring Bike Short", "bike shorts"),
        ("mens yellow t-shirt", "t-shirt"),
        ("hooded sweatshirt for women", "hooded sweatshirt"),
    ],
)
def test_core_word_is_the_head_noun(title: str, core_word: str) -> None:
    assert read(title)["core_word"] == core_word


@pytest.mark.parametrize("text", ["", "  ", "!!!", "Autumn Pullie", "Gift for men", "12345"])
def test_absent_attributes_are_none(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (
            "Samsung 15.6 inch Laptop 8 GB RAM 512GB SSD Silver",
            {
                "core_word": "laptop",
                "color": "silver",
                "model_parameters": "15.6 inch, 8GB, 512GB",
            },
        ),
        (
            "Stainless Steel Water Bottle 500 ml Navy Blue",
            {
                "core_word": "water bottle",
                "material": "stainless steel",
                "color": "navy blue",
                "model_parameters": "500ml",
            },
        ),
        (
            "Gold Diamond Engagement Ring",
            {"core_word": "engagement ring", "material": "diamond, gold", "color": "gold"},
        ),
        ("Rose Gold Ring", {"core_word": "ring", "color": "rose gold"}),
        (
            "Green Leather Jacket XL",
            {
                "core_word": "leather jacket",
                "material": "leather",
                "color": "green",
                "model_parameters": "XL",
            },
        ),
        ("orange juice", {"core_word": "orange juice"}),
        ("Wine glasses", {"core_word": "wine glasses"}),
        ("men's navy jeans", {"core_word": "jeans", "color": "navy"}),
    ],
)
def test_fields_do_not_take_each_others_words(title: str, expected: dict[str, str]) -> None:
    assert read(title) == expected


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('43" 4K Smart TV', ["43 inch", "4K"]),
        ("Sony WH-1000XM4 Headphones", ["WH-1000XM4"]),
        ("Rug 160 x 230 cm", ["160 x 230cm"]),
        ("Towels, set of 6", ["6 pack"]),
        ("Sneakers Size 10.5", ["size 10.5"]),
        ("Tee 2XL", ["2XL"]),
        ("1080p camera 20 MP", ["1080p", "20MP"]),
        ("A Hoodie in a room", []),
        ("13 in 1 Multi Tool", ["13 in 1"]),
        ("3-in-1 Cable 200 cm", ["3 in 1", "200cm"]),
        ("5in1 Charger", ["5 in 1"]),
        ("2 In One Shampoo 250 ml", ["2 in 1", "250ml"]),
        ("6 in a Box", []),
        ("13 in Laptop", ["13 inch"]),
        ("Shelf 13 in x 10 in", ["13 inch", "10 inch"]),
    ],
)
def test_parameters(text: str, values: list[str]) -> None:
    assert [each.value for each in find_parameters(clean(text))] == values


def test_trademark_signs_are_no_letters() -> None:
    assert read("Viktor LumaTech™ Pant")["core_word"] == "pants"
    assert [token.lower for token in tokenize(clean("CoolTech™ V-Neck"))] == [
        "cooltech",
        "v",
        "neck",
    ]


CATALOGUE = [
    *(f"Quillon {thing}" for thing in ("Desk Lamp", "Office Chair", "Floor Lamp", "Bookcase")),
    *(f"{thing} by Blue Harbor" for thing in ("Cotton Sheets", "Bath Towel", "Wool Rug")),
    *(f"{maker} Soft Glimmer" for maker in ("Tallow", "Quillon", "Brisk", "Ember")),
    "Blue Harbor Linen Curtain",
    "Modern Desk Lamp Best Seller",
    "Modern Floor Lamp Best Seller",
    "Modern Bookcase Best Seller",
    "Modern Rug Best Seller",
]


def test_brands_and_unknown_product_words_are_learnt() -> None:
    lexicon = Lexicon.fit(CATALOGUE)
    assert lexicon.attributes("Quillon Velvet Armchair").brand == "Quillon"
    towel = lexicon.attributes("Bath Towel Blue Harbor Gray")
    assert (towel.brand, towel.color) == ("Blue Harbor", "gray")  # blue is the brand's
    assert lexicon.attributes("Modern Sofa Best Seller").brand is None
    assert lexicon.attributes("Vela Warm Glimmer").core_word == "glimmer"
    assert BLANK.attributes("Vela Warm Glimmer").core_word is None


def test_maker_is_read_without_having_been_learnt() -> None:
    assert read("Vase by Marlowe for flowers")["brand"] == "Marlowe"
    assert "brand" not in read("curtain by the window")


def test_state_names_the_reader_and_rebuilds_it() -> None:
    lexicon = Lexicon.fit(CATALOGUE)
    again = Lexicon.fit(list(reversed(CATALOGUE)) + CATALOGUE[:3])
    assert again.state() == lexicon.state()
    assert again.name == lexicon.name != BLANK.name
    rebuilt = Lexicon.from_state(lexicon.state())
    assert (rebuilt.name, rebuilt.prompt_key) == (lexicon.name, lexicon.prompt_key)
    titles = {str(number): title for number, title in enumerate(CATALOGUE)}
    assert list(rebuilt.read(titles)) == list(lexicon.read(titles))
    assert [key for key, _ in lexicon.read(titles)] == list(titles)
    with pytest.raises(UserError, match="--refit"):
        Lexicon.from_state(b"not json")


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    first = BLANK.attributes(text)
    assert BLANK.attributes(text) == first
    assert first.core_word is None or canonical_core_word(first.core_word) is not None


def test_vocabulary_is_broad_and_sound() -> None:
    table = vocabulary()
    terms = [term for term in table.core_words.entries() if term.canonical == term.phrase]
    assert len(terms) >= 600
    assert len(list(table.materials.entries())) >= 80
    assert len(list(table.colors.entries())) >= 100
    for term in table.core_words.entries():
        assert core_word_family(term.phrase) is not None
        assert term.broader is None or canonical_core_word(term.broader) is not None
    for term in table.color_terms:
        assert color_family(term.canonical) is not None
        assert term.anchors


def test_words_that_agree() -> None:
    assert canonical_core_word("T-Shirts") == canonical_core_word("tshirt") == "tee"
    assert core_word_family("yoga leggings") == core_word_family("trousers") == "pants"
    assert core_word_family("tee") != core_word_family("tank top")
    assert core_word_relation("hoodie", "sweatshirt") == "kind"
    assert core_word_relation("sofa", "couch") == "same"
    assert core_word_relation("sofa", "jeans") == "different"
    assert core_word_relation("sofa", "qwertz") == "unknown"
    assert (worn("running shorts"), worn("sneakers"), worn("sofa")) == ("lower", "feet", "object")
    assert color_family("navy") == color_family("sky blue") == "blue"
    assert colors_close("burgundy", "pink")
    assert not colors_close("navy", "yellow")
    assert material_family("lycra") == material_family("elastane") == "spandex"
    assert material_family("organic cotton") == "cotton"
    assert canonical_parameter("128 gb") == canonical_parameter("128GB") == "128GB"
    assert canonical_parameter("15.6 Inches") == canonical_parameter('15.6"') == "15.6 inch"
    assert canonical_parameter("full hd") == "Full HD"
