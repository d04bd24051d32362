"""How titles and queries are worded, and that listings stream."""

import itertools
import random

import pytest

from genfilt.synth.drawing_pool import SHARD, picture_name
from genfilt.synth.facets import ATTACK, Facets, Traps
from genfilt.synth.generated_titles import fill, spaced
from genfilt.synth.listings import Listing, ListingWriter
from genfilt.synth.shopper_queries import MAX_PHRASINGS, QueryWriter, plural
from genfilt.synth.word_lists import Voice, Words, load_word_lists

VOCABULARY = load_word_lists()


def listings(count: int, traps: Traps | None = None, seed: int = 0) -> list[Listing]:
    return list(ListingWriter(VOCABULARY, traps or Traps(), seed).listings(count))


@pytest.mark.parametrize(
    ("form", "words", "text"),
    [
        ("{brand} {line} {type}", {"type": "sofa"}, "sofa"),
        ("{type} - {brand} - {color}", {"type": "sofa", "color": "red"}, "sofa - red"),
        ("{brand}: {color} {type}, {model}", {"type": "tv"}, "tv"),
        (
            "{brand}: {color} {type}, {model}",
            {"brand": "Peach", "model": "50 inch"},
            "Peach, 50 inch",
        ),
        ("{type} {line} by {brand}", {"type": "ring"}, "ring"),
        ("{type} from {brand} {line}", {"type": "ring", "line": "Halo"}, "ring from Halo"),
        ("{type} by {brand}", {"type": "t-shirt", "brand": "Norvell"}, "t-shirt by Norvell"),
    ],
)
def test_a_form_leaves_no_trace_of_an_empty_slot(form, words, text):
    assert fill(form, words) == text


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dress", "dresses"),
        ("jeans", "jeans"),
        ("couch", "couches"),
        ("mug", "mugs"),
        ("box", "boxes"),
    ],
)
def test_plural(one, many):
    assert plural(one) == many


def test_a_model_is_written_with_and_without_a_space():
    rng = random.Random(0)
    assert {spaced("128GB", rng) for _ in range(50)} == {"128GB", "128 GB"}
    assert {spaced("14 inch", rng) for _ in range(50)} == {"14 inch"}


def test_a_seen_voice_never_takes_a_held_out_word_by_choice():
    words = Words(("a", "b"), ("c",))
    seen, held_out = (Voice(random.Random(0), kind) for kind in (False, True))
    assert {seen.say(words) for _ in range(100)} == {"a", "b"}
    assert not seen.used_held_out
    assert {held_out.say(words) for _ in range(100)} == {"a", "b", "c"}
    assert held_out.used_held_out
    assert seen.say(Words((), ("d",))) == "d"
    assert seen.used_held_out


def test_listings_stream_and_do_not_depend_on_how_many_are_asked_for():
    writer = ListingWriter(VOCABULARY, Traps(), 7)
    endless = itertools.islice(writer.listings(10**12), 40)
    assert list(endless) == listings(40, seed=7)


def words_of(product: Facets) -> dict[str, Words]:
    category = VOCABULARY.categories[product.category]
    return {
        "type": VOCABULARY.types[product.type].words,
        "color": VOCABULARY.colors[product.color].words,
        "material": VOCABULARY.materials[product.material],
        "pattern": VOCABULARY.patterns[product.pattern],
        "brand": Words((product.brand,), category.brands.held_out),
        "gender": VOCABULARY.genders[product.gender].words if product.gender else Words(),
        "model": Words((product.model or "", (product.model or "").replace("GB", " GB"))),
    }


def says(title: str, words: Words) -> bool:
    plain = title.lower().replace(" ", "")
    return any(word.lower().replace(" ", "") in plain for word in words.seen + words.held_out)


def test_what_a_title_tells_stands_in_it():
    for listing in listings(1500):
        words = words_of(listing.facets)
        for facet in listing.title.stated:
            assert says(listing.title.text, words[facet]), (listing.title, facet)
        assert listing.title.text.strip()


def test_a_falsified_title_names_a_colour_or_material_that_the_product_has_not():
    falsified = [item for item in listings(3000, ATTACK) if item.title.falsified]
    assert len(falsified) > 100
    for listing in falsified:
        facets, kind = listing.facets, VOCABULARY.types[listing.facets.type]
        others = [VOCABULARY.colors[c].words for c in kind.colors if c != facets.color]
        others += [VOCABULARY.materials[m] for m in kind.materials if m != facets.material]
        assert any(says(listing.title.text, words) for words in others), listing.title


def test_a_stuffed_case_names_several_phones():
    stuffed = [
        item.title.text.lower()
        for item in listings(3000, ATTACK)
        if item.title.stuffed and item.facets.type == "phone_case"
    ]
    assert stuffed
    for text in stuffed:
        assert " for " in text
        assert text.count(",") >= 3


def test_a_wrong_picture_shows_another_type_and_any_other_the_product():
    drawn = listings(2000)
    assert any(listing.wrong_picture for listing in drawn)
    for listing in drawn:
        shown = (listing.look.type, listing.look.color) == (
            listing.facets.type,
            listing.facets.color,
        )
        assert shown != listing.wrong_picture
        assert (listing.look.type == listing.facets.type) != listing.wrong_picture


def test_queries_are_distinct_phrasings_and_end_when_the_needs_are_used_up():
    pool = [listing.facets for listing in listings(60) if listing.split == "train"][:3]
    queries = list(QueryWriter(VOCABULARY, Traps(), 0, pool, []).queries(100_000))
    assert len({query.text for query in queries}) == len(queries)
    assert [query.number for query in queries] == list(range(len(queries)))
    by_need: dict[int, set] = {}
    for query in queries:
        by_need.setdefault(query.need_number, set()).add(query.need)
    assert all(len(needs) == 1 for needs in by_need.values())
    counts = [sum(query.need_number == number for query in queries) for number in by_need]
    assert max(counts) == MAX_PHRASINGS
    assert not any(query.held_out for query in queries)


def test_pictures_of_a_large_catalogue_lie_in_folders_of_a_thousand():
    listing = listings(40)[39]
    assert picture_name(listing, SHARD) == "images/p0000039.jpg"
    assert picture_name(listing, SHARD + 1) == "images/0000/p0000039.jpg"
