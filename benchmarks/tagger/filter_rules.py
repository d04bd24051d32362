"""What the filter's rules find with the lexicon and with the tagger as the reader of titles.

    python benchmarks/tagger/filter_rules.py [--seeds 14 15] [--folder artifacts/filter_rules]

The measures are those of benchmarks/filter_quality.py, on the captions of the embedded generators:
for each generated catalogue under attack, with labels and with clicks alone, the recall at
precision >= 0.95 and >= 0.9 of the true pairs that no click or label holds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import filter_quality
import filter_quality_catalogues as catalogues
from filter_quality_tables import CAPTIONS, RULES, Rows

from genfilt.features.embed import Embedder
from genfilt.generators.registry import GeneratorChoice, Llm, open_reader

READERS = (Llm.lexicon, Llm.tagger)
PARTS = ("train products", "other products", "held-out words")


def measured(reader: str, seeds: list[int], products: int, folder: Path) -> Rows:
    """Return the rows of filter_quality with one reader, each with the reader's name."""
    catalogues.open_reader = lambda store, choice: open_reader(store, GeneratorChoice(reader))
    embedder, described = Embedder(), folder / reader
    described.mkdir(parents=True, exist_ok=True)
    found: Rows = []
    for seed in seeds:
        catalogue = catalogues.generated(folder, seed, products, attack=True)
        for labels in (True, False):
            shop = filter_quality.Shop(catalogue, CAPTIONS[0], labels)
            rows = filter_quality.measure(shop, described, embedder, RULES)
            found += [{**row, "reader": reader} for row in rows]
    return found


def show(rows: Rows) -> None:
    """Print a row for each catalogue, evidence, rule and part, the readers side by side."""
    places = ("catalogue", "evidence", "rule", "part")
    cells = {(row["reader"], *(row[name] for name in places)): row for row in rows}
    names = [f"{each} at {at}" for at in ("0.95", "0.9") for each in READERS]
    print(f"| {' | '.join((*places, *names))} |\n|{'---|' * (len(places) + len(names))}")
    for key in dict.fromkeys(each[1:] for each in cells):
        if key[-1] in PARTS:
            shown = [
                f"{cells[each, *key][measure]:.3f}"
                for measure in ("recall", "recall at 0.9 precision")
                for each in READERS
            ]
            print(f"| {' | '.join((*key, *shown))} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[14, 15])
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=Path("artifacts/filter_rules"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    given = options.seeds, options.products, options.folder
    show([row for each in READERS for row in measured(each, *given)])


if __name__ == "__main__":
    main()
