"""Served language models beside the lexicon and the tagger: left-out departments, Luma, synth.

    python benchmarks/tagger/language_models.py untuned=artifacts/smollm2 tuned=artifacts/extractor

Each model is served by vLLM in turn and reads the same titles. Tables and measures are those of
`evaluate.py`; a title that a model fails on has no field. Beside them: replies that failed, replies
with a field that the title does not hold (dropped), titles a second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluate import (
    READERS,
    ROOT,
    SYNTH_PRODUCTS,
    SYNTH_SEED,
    Gold,
    last_word,
    measures,
    read_gold,
    rows_of,
    same_family,
    share,
    show,
)

from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.protocols import FIELDS, AttributeReader, Attributes

NOTHING = Attributes(**dict.fromkeys(FIELDS), raw="")


@dataclass(frozen=True)
class Catalogue:
    """Titles with gold fields, by shop, and what an embedded reader is fitted on."""

    name: str
    gold: Sequence[Gold]
    fit_on: Sequence[str] = ()  # without them each group is a shop, fitted on its own titles
    kinds: Sequence[str] = ()  # facets of type in place of gold core words


@dataclass
class Counts:
    """What one reader took for a catalogue."""

    found: list[Attributes] = field(default_factory=list)
    failed: int = 0
    dropped: int = 0
    seconds: float = 0.0


def read(reader: AttributeReader, titles: Sequence[str], counts: Counts) -> None:
    """Read titles in their order and count."""
    started = time.perf_counter()
    found = dict(reader.read({str(row): title for row, title in enumerate(titles)}))
    counts.seconds += time.perf_counter() - started
    for row in range(len(titles)):
        result = found[str(row)]
        if isinstance(result, Attributes):
            counts.found.append(result)
            if result.raw.startswith("{"):
                counts.dropped += bool(json.loads(result.raw).get("dropped"))
        else:
            counts.found.append(NOTHING)
            counts.failed += 1


def embedded(fit: Callable[[Sequence[str]], AttributeReader], catalogue: Catalogue) -> Counts:
    """Return what a reader finds that is fitted to the catalogue."""
    counts = Counts()
    groups = dict.fromkeys(each.group for each in catalogue.gold)
    for group in groups:  # gold stands group by group
        titles = [each.title for each in catalogue.gold if each.group == group]
        read(fit(catalogue.fit_on or titles), titles, counts)
    return counts


def catalogues(luma: Path | None) -> list[Catalogue]:
    """Return the catalogues of the tables."""
    folder = Path(__file__).parent
    found = [
        Catalogue("left_out: 200 titles", read_gold(folder / "left_out.tsv")),
        Catalogue("fresh: 100 titles", read_gold(folder / "fresh.tsv")),
    ]
    if luma is not None:
        rows = rows_of(luma / "products.csv")
        types = {row["title"]: row["type"] for row in rows}
        train = sorted({row["title"] for row in rows if row["split"] == "train"})
        gold = [Gold(title, dict.fromkeys(FIELDS), "") for title in types]
        found.append(Catalogue("Luma: types", gold, train, list(types.values())))
    sys.path.insert(0, str(ROOT / "examples"))
    from title_truth import read_examples

    from genfilt.synth import synthesize

    with tempfile.TemporaryDirectory() as shop:
        synthesize(SYNTH_PRODUCTS, Path(shop), seed=SYNTH_SEED, pictures=False)
        examples = read_examples(Path(shop))
    train = [each.title for each in examples if each.split == "train"]
    for held_out, words in ((True, "held-out"), (False, "seen")):
        chosen = [e for e in examples if e.held_out == held_out and e.split != "train"]
        gold = [Gold(each.title, each.fields, "") for each in chosen]
        found.append(Catalogue(f"synth, {words} words", gold, train))
    return found


def last_of_family(found: Attributes, kind: str) -> bool:
    """Tell whether a core word or its last word is of a type's family: "full-zip sweatshirt"."""
    return same_family(found, kind) or same_family(
        replace(found, core_word=last_word(found.core_word)), kind
    )


def table(catalogue: Catalogue, counts: Counts) -> dict[str, str]:
    """Return the measures of a reader on a catalogue as text."""
    total = len(catalogue.gold)
    if catalogue.kinds:
        right = sum(map(same_family, counts.found, catalogue.kinds))
        by_last = sum(map(last_of_family, counts.found, catalogue.kinds))
        named = {"type": share(right, total), "type by the last word": share(by_last, total)}
    else:
        named = measures(catalogue.gold, counts.found)
    return {
        **named,
        "failed": share(counts.failed, total),
        "replies with a dropped field": share(counts.dropped, total),
        "titles a second": f"{total / counts.seconds:.1f}",
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="NAME=FOLDER of a model to serve")
    parser.add_argument("--luma", type=Path, default=os.environ.get("LUMA_DIR"))
    parser.add_argument("--errors", type=Path, help="file for the models' wrong titles")
    options = parser.parse_args()
    every = catalogues(Path(options.luma) if options.luma else None)
    counted: dict[str, dict[str, Counts]] = {each.name: {} for each in every}
    for name, fit in READERS.items():
        for each in every:
            counted[each.name][name] = embedded(fit, each)
    for words in options.models:
        name, _, folder = words.partition("=")
        with VllmServer(folder) as server, VllmReader(server.url) as reader:
            read(reader, [each.title for each in every[0].gold[:8]], Counts())
            for each in every:
                counted[each.name][name] = counts = Counts()
                read(reader, [gold.title for gold in each.gold], counts)
                print(f"{name}: {each.name} read", file=sys.stderr)
    for each in every:
        show(each.name, {name: table(each, counts) for name, counts in counted[each.name].items()})
    if options.errors is not None:
        write_replies(options.errors, every, counted)


def write_replies(
    path: Path, every: Sequence[Catalogue], counted: Mapping[str, Mapping[str, Counts]]
) -> None:
    """Write what each reader found, one title a line of JSON."""
    with path.open("w", encoding="utf-8") as file:
        for catalogue in every:
            for row, gold in enumerate(catalogue.gold):
                line: dict[str, object] = {"catalogue": catalogue.name, "title": gold.title}
                line["gold"] = catalogue.kinds[row] if catalogue.kinds else dict(gold.fields)
                for name, counts in counted[catalogue.name].items():
                    found = counts.found[row]
                    line[name] = {each: getattr(found, each) for each in FIELDS}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
