"""The tagger's training titles: nothing that it is measured on is among them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from genfilt.generators.tagger.word_labels import KINDS
from genfilt.synth.word_lists import load_word_lists
from genfilt.vocabulary.tokens import singular, tokenize, words

FOLDER = Path(__file__).parents[3] / "benchmarks" / "tagger"
TITLES = 4000
KNOWN_NOUNS = ("apparel styles", "german")  # departments of new names, not of new nouns

Phrase = tuple[str, ...]


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        names = ("word_lists", "training_titles", "evaluate", "train")
        yield {name: importlib.import_module(name) for name in names}


def phrase(text: str) -> Phrase:
    return tuple(singular(word) for word in words(text))


def core_words(module: ModuleType) -> set[Phrase]:
    """Every core word that a training title can have: products, accessories, both together."""
    found = set()
    for dept in module.departments().values():
        found |= {phrase(text) for text in (*dept.nouns, *dept.accessories)}
        found |= {phrase(f"{host} {what}") for host in dept.hosts for what in dept.accessories}
    return found


def brand_names(module: ModuleType) -> set[Phrase]:
    kinds = ("ordinary_words", "famous", "unit_like", "people", "first_names", "company_words")
    return {phrase(name) for kind in kinds for name in module.brand_words(kind)}


def test_no_core_word_or_brand_of_the_left_out_departments_is_in_training(
    modules: dict[str, ModuleType],
) -> None:
    files = ("left_out.tsv", "fresh.tsv", "fresh_2.tsv")
    gold = [each for name in files for each in modules["evaluate"].read_gold(FOLDER / name)]
    gold = [each for each in gold if each.group not in KNOWN_NOUNS]
    assert len(gold) == 300 + 68
    sold = {phrase(each.fields["core_word"]) for each in gold}
    brands = {phrase(each.fields["brand"]) for each in gold if each.fields["brand"]}
    assert not sold & core_words(modules["word_lists"])
    assert not brands & brand_names(modules["word_lists"])
    assert not {each.group for each in gold} & modules["word_lists"].departments().keys()


def test_no_training_title_holds_a_held_out_word_of_synth(modules: dict[str, ModuleType]) -> None:
    lists = load_word_lists()
    held_out = {words(text) for kind in lists.types.values() for text in kind.words.held_out}
    held_out |= {words(b) for kind in lists.categories.values() for b in kind.brands.held_out}
    assert len(held_out) > 40
    made = list(modules["training_titles"].generate(TITLES, modules["train"].SEED))
    assert len(made) == TITLES
    for title in made:
        found = words(title.text)
        runs = {found[a:b] for a in range(len(found)) for b in range(a + 1, len(found) + 1)}
        assert not runs & held_out, title.text


def test_every_title_has_one_core_word_and_labels_for_its_words(
    modules: dict[str, ModuleType],
) -> None:
    styles = set()
    for title in modules["training_titles"].generate(1000, seed=3):
        tokens = tokenize(title.text)
        assert len(tokens) == len(title.fields) == len(title.begins)
        begun = [f for f, b in zip(title.fields, title.begins, strict=True) if f and b]
        assert begun.count("core_word") == 1
        assert set(begun) <= set(KINDS)
        assert begun.count("brand") == (title.brand is not None)
        styles.add((title.text.islower(), title.text.isupper(), title.text.istitle()))
    assert len(styles) >= 3


def test_the_word_lists_are_wide(modules: dict[str, ModuleType]) -> None:
    departments = modules["word_lists"].departments()
    assert len(departments) >= 25
    assert len({noun for each in departments.values() for noun in each.nouns}) >= 1000
    unlabelled = {w for d in departments.values() for w in (*d.adjectives, *d.varieties)}
    assert len(unlabelled) >= 1500


def test_a_seed_gives_the_same_titles(modules: dict[str, ModuleType]) -> None:
    generate = modules["training_titles"].generate
    assert list(generate(50, 5)) == list(generate(50, 5)) != list(generate(50, 6))
