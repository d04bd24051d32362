"""What the titles of the generated catalogue say, in their own words: the right answers."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from genfilt.generators.protocols import FIELDS
from genfilt.synth.word_lists import WordLists, Words, load_word_lists


@dataclass(frozen=True)
class Example:
    """A title and what it says; None where it says nothing."""

    title: str
    fields: Mapping[str, str | None]
    split: str
    held_out: bool


def read_examples(folder: Path) -> list[Example]:
    """Return the distinct titles of a generated catalogue, each with what it says by the truth."""
    with duckdb.connect(str(folder / "truth.duckdb"), read_only=True) as truth:
        names = (
            "product_id, split, type, color, material, brand, model, stated, falsified, held_out"
        )
        rows = {row[0]: row[1:] for row in truth.sql(f"SELECT {names} FROM facets").fetchall()}
    vocabulary = load_word_lists()
    examples = {}
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        for product in csv.DictReader(file):
            split, kind, color, material, brand, model, stated, false, held_out = rows[
                product["product_id"]
            ]
            facets = {"type": kind, "color": color, "material": material, "brand": brand}
            said = says(product["title"], facets, model, set(stated), false, vocabulary)
            examples[product["title"]] = Example(product["title"], said, split, held_out)
    return list(examples.values())


def says(
    title: str,
    facets: Mapping[str, str],
    model: str | None,
    stated: set[str],
    falsified: bool,
    vocabulary: WordLists,
) -> dict[str, str | None]:
    """Return the title's own words for each field.

    A falsified title says a colour or material that the product does not have, and that is what
    counts here.
    """
    colors = {name: color.words for name, color in vocabulary.colors.items()}
    found: dict[str, str | None] = dict.fromkeys(FIELDS)
    if "type" in stated:
        found["core_word"] = find(title, vocabulary.types[facets["type"]].words)
    if "brand" in stated:
        found["brand"] = find(title, Words((facets["brand"],)))
    for field, words in (("color", colors), ("material", vocabulary.materials)):
        if field in stated:
            found[field] = find(title, words[facets[field]])
        elif falsified:
            found[field] = find(title, *words.values())
    if "model" in stated and model is not None:
        pattern = r"\s?".join(map(re.escape, re.findall(r"\d+|\D", model.replace(" ", ""))))
        match = re.search(rf"(?<!\w){pattern}(?!\w)", title, re.IGNORECASE)
        found["model_parameters"] = match[0] if match else None
    return found


def find(title: str, *words: Words) -> str | None:
    """Return the first of the words in a title, the longest where several begin there."""
    every = sorted((w for each in words for w in each.seen + each.held_out), key=len, reverse=True)
    pattern = "|".join(map(re.escape, every))
    match = re.search(rf"(?<![\w'])(?:{pattern})(?![\w'])", title, re.IGNORECASE)
    return match[0] if match else None
