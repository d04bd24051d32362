"""Replies of a served language model that hold fields outside the title: grammar against schema.

    python benchmarks/grounding.py --model artifacts/smollm2 --titles 80

One server is started. The same titles are read with a grammar for each title and with the JSON
schema alone; both lines say how many replies lost a field, how many titles failed, and the titles a
second. Titles are those of a generated catalogue, and of LUMA_DIR where it is set.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.protocols import FIELDS, Attributes
from genfilt.synth import synthesize


class SchemaReader(VllmReader):
    """A reader that takes every server for one without grammars."""

    _grammar_urls = frozenset()


def titles_of(folder: Path, count: int) -> dict[str, str]:
    """Return distinct titles of a catalogue's products.csv, chosen with a fixed seed."""
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        titles = sorted({row["title"] for row in csv.DictReader(file)})
    chosen = random.Random(0).sample(titles, min(count, len(titles)))
    return {str(number): title for number, title in enumerate(chosen)}


def measure(name: str, reader: VllmReader, titles: dict[str, str]) -> None:
    """Read the titles and print a line."""
    started = time.perf_counter()
    results = dict(reader.read(titles))
    seconds = time.perf_counter() - started
    good = [found for found in results.values() if isinstance(found, Attributes)]
    dropped = [field for found in good for field in json.loads(found.raw)["dropped"]]
    lost = sum(bool(json.loads(found.raw)["dropped"]) for found in good)
    nulls = Counter(field for found in good for field in FIELDS if getattr(found, field) is None)
    print(
        f"{name}: {len(titles)} titles, {len(titles) - len(good)} failed, {lost} replies "
        f"with a field outside the title ({dict(Counter(dropped))}), "
        f"{len(titles) / seconds:.2f} titles/s, null {dict(nulls)}",
        flush=True,
    )


def main() -> None:
    """Serve the model and measure both ways on each catalogue."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", required=True, help="what to serve: a folder or hub name")
    options.add_argument("--titles", type=int, default=80)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, VllmServer(given.model) as server:
        shop = Path(folder) / "shop"
        synthesize(600, shop, seed=0, pictures=False)
        catalogues = {"synth": shop}
        if os.environ.get("LUMA_DIR"):
            catalogues["Luma"] = Path(os.environ["LUMA_DIR"])
        grammar, schema = VllmReader(server.url), SchemaReader(server.url)
        measure("warm-up", schema, titles_of(shop, 8))
        for name, source in catalogues.items():
            titles = titles_of(source, given.titles)
            measure(f"{name}, grammar", grammar, titles)
            measure(f"{name}, schema", schema, titles)


if __name__ == "__main__":
    main()
