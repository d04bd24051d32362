"""Which leading runs of words are brands of a catalogue."""

from __future__ import annotations

from genfilt.generators.tagger.brand_statistics import (
    BrandTable,
    TaggedTitle,
    find_brand,
    learn_brands,
)

KINDS = ("lamp", "chair", "sofa", "desk", "rug", "shelf", "mirror", "stool")


def tagged(
    title: str, chance: float, *, first: int = 0, brand: tuple[int, int] | None = None
) -> TaggedTitle:
    """A title whose last word is the core word; `chance` holds for all words before it."""
    written = title.split()
    chances = [chance] * (len(written) - 1) + [0.0]
    core = (len(written) - 1, len(written) - 1)
    return TaggedTitle([w.lower() for w in written], first, core, chances, brand)


def shop(opening: str, chance: float, count: int = 8) -> list[TaggedTitle]:
    return [tagged(f"{opening} {kind}", chance) for kind in KINDS[:count]]


def test_a_run_before_many_kinds_is_a_brand_as_far_as_its_words_stay_together() -> None:
    titles = [*shop("HP", 0.7), *shop("Kingston Technology", 0.7), *shop("Oak Ember Co", 0.7)]
    assert learn_brands(titles).brands == {
        "hp",
        "kingston technology",
        "oak ember co",
    }


def test_a_doubted_run_needs_many_kinds_and_no_place_elsewhere() -> None:
    assert "cherry" in learn_brands(shop("Cherry", 0.3)).brands
    assert learn_brands(shop("Cherry", 0.3, 2)).brands == frozenset()
    elsewhere = [tagged(f"Acme modern {kind}", 0.3) for kind in KINDS]
    found = learn_brands([*shop("Modern", 0.3), *elsewhere])
    assert "modern" not in found.brands
    assert "modern" in found.rejected


def test_an_ordinary_opening_is_no_brand_and_no_title_calls_it_one() -> None:
    table = learn_brands(shop("Large", 0.005))
    assert table == BrandTable(frozenset(), frozenset(("large",)))
    assert find_brand(tagged("Large lamp", 0.9, brand=(0, 1)), table) is None


def test_one_kind_of_product_makes_no_brand_by_its_opening() -> None:
    titles = [tagged(f"Green {flavour} tea", 0.3) for flavour in ("mint", "lime", "rose", "plum")]
    assert learn_brands(titles).brands == frozenset()


def test_two_titles_or_one_kind_need_a_tagger_that_is_sure() -> None:
    assert learn_brands(shop("Plano", 0.8, 2)).brands == {"plano"}
    assert learn_brands(shop("Plano", 0.6, 2)).brands == frozenset()
    assert learn_brands(shop("Plano", 0.8, 1)).brands == frozenset()
    one_kind = [tagged(f"Tena {size} pants", 0.8) for size in ("small", "large", "medium")]
    assert learn_brands(one_kind).brands == {"tena"}


def test_where_a_brand_is_looked_for() -> None:
    table = BrandTable(frozenset(("acme", "blue harbor")), frozenset())
    assert find_brand(tagged("Acme lamp", 0.0), table) == (0, 1)
    assert find_brand(tagged("2 pack Acme lamp", 0.0, first=2), table) == (2, 3)
    assert find_brand(
        TaggedTitle(["lamp", "by", "blue", "harbor"], 0, (0, 0), [0.0] * 4, None), table
    ) == (2, 4)
    assert find_brand(TaggedTitle(["lamp", "acme"], 0, (0, 0), [0.0] * 2, None), table) == (1, 2)
    assert (
        find_brand(TaggedTitle(["case", "for", "acme"], 0, (0, 0), [0.0] * 3, None), table) is None
    )
    assert find_brand(tagged("Nova lamp", 0.95, brand=(0, 1)), table) == (0, 1)
    assert find_brand(tagged("Nova lamp", 0.6, brand=(0, 1)), table) is None


def test_a_line_of_products_that_opens_titles_of_makers_is_no_brand() -> None:
    makers = ("acme", "tindra", "norvell")
    titles = [
        TaggedTitle([maker, line, kind], 0, (2, 2), [0.9, 0.1, 0.0], None)
        for maker in makers
        for line, kind in zip(("breeze", "teton", "halo", "orla") * 2, KINDS, strict=True)
    ]
    for kind in KINDS:
        words = ["breeze", kind, makers[len(kind) % 3]]
        titles.append(TaggedTitle(words, 0, (1, 1), [0.7, 0.0, 0.7], None))
    assert learn_brands(titles).brands == set(makers)
