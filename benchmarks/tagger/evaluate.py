"""The tagger beside the lexicon: left-out departments, Luma, synth's held-out words, speed.

    python benchmarks/tagger/evaluate.py [--luma FOLDER] [--errors]

Each department of the gold files is a shop: both readers are fitted on its titles. A core
word is right when its last word is, a brand when it is the whole name. On Luma a type is right when
it is of the facet's family of product words.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.llm.reply import grounded_value
from genfilt.generators.protocols import FIELDS, Attributes
from genfilt.generators.tagger.tagger import Tagger
from genfilt.vocabulary.terms import core_word_family
from genfilt.vocabulary.tokens import singular, words

ROOT = Path(__file__).parents[2]
SYNTH_SEED, SYNTH_PRODUCTS = 31, 2000

Reader = Lexicon | Tagger
Fields = Mapping[str, str | None]
READERS: dict[str, Callable[[Sequence[str]], Reader]] = {
    "lexicon": Lexicon.fit,
    "tagger": Tagger.fit,
}


@dataclass(frozen=True)
class Gold:
    """A title and what it says; `group` is reported apart."""

    title: str
    fields: Fields
    group: str
    accessory: bool = False


def read_gold(path: Path) -> list[Gold]:
    """Return the hand-labelled titles of a tab-separated file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Gold(
                row["title"],
                {field: row[field] or None for field in FIELDS},
                row["department"],
                row["accessory"] == "1",
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def last_word(text: str | None) -> str | None:
    """Return the last word of a value in the singular, None without one."""
    found = words(text or "")
    return singular(found[-1]) if found else None


def same_value(found: str | None, gold: str | None) -> bool:
    """Tell whether two values hold the same words; several values in any order."""
    return _value_set(found) == _value_set(gold)


def _value_set(text: str | None) -> frozenset[tuple[str, ...]]:
    return frozenset(words(part) for part in (text or "").split(",") if words(part))


def share(hits: int, count: int) -> str:
    """Return a share with its counts."""
    return f"{hits / count:6.1%} ({hits}/{count})" if count else "-"


def measures(gold: Sequence[Gold], found: Sequence[Attributes]) -> dict[str, str]:
    """Return each measure of some titles as text."""
    pairs = [(g, f) for g, f in zip(gold, found, strict=True) if g.fields["core_word"]]
    right = [last_word(f.core_word) == last_word(g.fields["core_word"]) for g, f in pairs]
    accessories = [hit for (g, _), hit in zip(pairs, right, strict=True) if g.accessory]
    branded = [(g, f) for g, f in zip(gold, found, strict=True) if g.fields["brand"]]
    plain = [f for g, f in zip(gold, found, strict=True) if not g.fields["brand"]]
    invented = sum(
        not same_value(grounded_value(g.title, getattr(f, name)), getattr(f, name))
        for g, f in zip(gold, found, strict=True)
        for name in FIELDS
    )
    table = {
        "core word (last word)": share(sum(right), len(right)),
        "accessories": share(sum(accessories), len(accessories)),
        "brands": share(
            sum(same_value(f.brand, g.fields["brand"]) for g, f in branded), len(branded)
        ),
        "brands given without one": share(sum(f.brand is not None for f in plain), len(plain)),
        "fields invented": str(invented),
    }
    for name in ("material", "color", "model_parameters"):
        table[f"{name}, all values"] = share(
            sum(
                same_value(getattr(f, name), g.fields[name])
                for g, f in zip(gold, found, strict=True)
            ),
            len(gold),
        )
    return table


def read_all(reader: Reader, titles: Sequence[str]) -> list[Attributes]:
    """Return what a reader finds in titles, in their order."""
    found = dict(reader.read({str(row): title for row, title in enumerate(titles)}))
    results = [found[str(row)] for row in range(len(titles))]
    return [each for each in results if isinstance(each, Attributes)]


def show(name: str, tables: Mapping[str, Mapping[str, str]]) -> None:
    """Print one table: a measure a row, a reader a column."""
    print(f"\n## {name}\n\n| | {' | '.join(tables)} |\n|---|{'---|' * len(tables)}")
    for measure in next(iter(tables.values())):
        print(f"| {measure} | {' | '.join(table[measure] for table in tables.values())} |")


def left_out(path: Path, *, errors: bool) -> None:
    """Print the table of the left-out departments, each a shop of its own."""
    gold = read_gold(path)
    shops = list(dict.fromkeys(each.group for each in gold))
    every: dict[str, list[Attributes]] = {}
    by_shop: dict[str, dict[str, str]] = {}
    for name, fit in READERS.items():
        found: dict[str, Attributes] = {}
        for shop in shops:
            titles = [each.title for each in gold if each.group == shop]
            found |= zip(titles, read_all(fit(titles), titles), strict=True)
        every[name] = [found[each.title] for each in gold]
        by_shop[name] = {
            shop: measures(
                [g for g in gold if g.group == shop],
                [f for g, f in zip(gold, every[name], strict=True) if g.group == shop],
            )["core word (last word)"]
            for shop in shops
        }
    show(f"{path.stem}: {len(gold)} titles", {n: measures(gold, f) for n, f in every.items()})
    show("core words by department", by_shop)
    for each, f in zip(gold, every["tagger"], strict=True) if errors else ():
        core = last_word(f.core_word) == last_word(each.fields["core_word"])
        if not core or not same_value(f.brand, each.fields["brand"]):
            print(f"{each.title!r}: {f.core_word} / {f.brand}", file=sys.stderr)


def luma(folder: Path) -> None:
    """Print the share of Luma's titles and queries whose core word is of the facet's family."""
    rows = {name: rows_of(folder / f"{name}.csv") for name in ("products", "queries")}
    types = {row["title"]: row["type"] for row in rows["products"]}
    asked = {row["query"]: row["type"] for row in rows["queries"]}
    train = sorted({row["title"] for row in rows["products"] if row["split"] == "train"})
    tables = {}
    for name, fit in READERS.items():
        reader = fit(train)
        found, queries = read_all(reader, list(types)), read_all(reader, list(asked))
        named = [(f, kind) for f, kind in zip(queries, asked.values(), strict=True) if kind]
        plain = [f for f, kind in zip(queries, asked.values(), strict=True) if not kind]
        brands = sum(f.brand is not None for f in found)
        tables[name] = {
            "type": share(sum(map(same_family, found, types.values())), len(types)),
            "brands given": share(brands, len(types)),
            "type of queries": share(sum(same_family(*each) for each in named), len(named)),
            "core words of queries without one": share(
                sum(f.core_word is not None for f in plain), len(plain)
            ),
        }
    show(f"Luma: {len(types)} titles, {len(asked)} queries", tables)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same_family(found: Attributes, kind: str) -> bool:
    """Tell whether a core word and a type are of one family of product words."""
    word = found.core_word or ""
    return (core_word_family(word) or word) == core_word_family(kind)


def synth() -> None:
    """Print the measures of a generated catalogue, for seen and for held-out words."""
    sys.path.insert(0, str(ROOT / "examples"))
    from title_truth import read_examples

    from genfilt.synth import synthesize

    with tempfile.TemporaryDirectory() as folder:
        synthesize(SYNTH_PRODUCTS, Path(folder), seed=SYNTH_SEED, pictures=False)
        examples = read_examples(Path(folder))
    train = [each.title for each in examples if each.split == "train"]
    fitted = {name: fit(train) for name, fit in READERS.items()}
    for held_out in (False, True):
        chosen = [each for each in examples if each.held_out == held_out and each.split != "train"]
        gold = [Gold(each.title, each.fields, "") for each in chosen]
        titles = [each.title for each in gold]
        tables = {n: measures(gold, read_all(reader, titles)) for n, reader in fitted.items()}
        show(f"synth, {'held-out' if held_out else 'seen'} words: {len(gold)} titles", tables)


def speed(titles: Sequence[str], count: int = 4000) -> None:
    """Print titles a second, after one pass to warm up."""
    chosen = [titles[row % len(titles)] + f" {row}" for row in range(count)]
    print("\n## Speed\n\n| reader | titles a second |\n|---|---|")
    for name, fit in READERS.items():
        reader = fit(titles)
        read_all(reader, chosen[:200])
        started = time.perf_counter()
        read_all(reader, chosen)
        print(f"| {name} | {count / (time.perf_counter() - started):.0f} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--luma", type=Path, default=os.environ.get("LUMA_DIR"))
    files = [Path(__file__).parent / name for name in ("left_out.tsv", "fresh.tsv", "fresh_2.tsv")]
    parser.add_argument("--gold", type=Path, nargs="+", default=files)
    parser.add_argument("--errors", action="store_true", help="print the tagger's wrong titles")
    options = parser.parse_args()
    for path in options.gold:
        left_out(path, errors=options.errors)
    if options.luma is not None:
        luma(Path(options.luma))
    synth()
    speed([each.title for each in read_gold(options.gold[0])])


if __name__ == "__main__":
    main()
