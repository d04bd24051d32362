"""How often the embedded generators are right, held to a catalogue's facets.

`python benchmarks/generators.py FOLDER` (default: LUMA_DIR; a folder of `genfilt synth` also does)
reads products.csv of the folder, fits both generators on its train split and prints, for each
split, the share of titles with the right core word, and of captions with the right colour and the
right type. Facets (the columns `type` and `color`, or truth.duckdb) are only compared with. A type
is right when it is of the facet's family of core words, a colour when it is of the facet's basic
colour. Pictures of train titles are described by other
titles' votes alone, so their figures are leave-title-out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path

from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.neighbours.abstention import MIN_PRECISION
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.protocols import Caption
from genfilt.store.keys import file_key
from genfilt.vocabulary.terms import (
    color_family,
    colors_close,
    core_word_family,
)

Row = dict[str, str]
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def read_catalogue(folder: Path) -> list[Row]:
    """Return the products of a folder that have a picture file."""
    with (folder / "products.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if row.get("image") and (folder / row["image"]).is_file()]
    if (folder / "truth.duckdb").is_file():
        facets = generated_facets(folder / "truth.duckdb")
        for row in rows:
            row |= facets[row["product_id"]]
    return rows


def generated_facets(path: Path) -> dict[str, Row]:
    """Return what the pictures and titles of a generated catalogue show, by product."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(
            "SELECT product_id, picture_type, picture_color, "
            "CASE WHEN list_contains(stated, 'type') AND NOT falsified THEN type ELSE '' END "
            "FROM facets"
        ).fetchall()
    return {
        product: {
            "type": kind.replace("_", " "),
            "color": color.replace("_", " "),
            "stated": stated.replace("_", " "),
        }
        for product, kind, color, stated in found
    }


def same_type(word: str | None, facet: str) -> bool:
    """Tell whether a core word is of the facet's family."""
    if word is None:
        return False
    return (core_word_family(word) or word) == (core_word_family(facet) or facet)


def same_color(word: str, facet: str) -> bool:
    """Tell whether a colour word has the facet's basic colour."""
    return (color_family(word) or word) == (color_family(facet) or facet)


def measure_titles(rows: list[Row], lexicon: Lexicon) -> None:
    """Print the share of distinct titles with the right core word, and the wrong ones."""
    types: defaultdict[str, set[str]] = defaultdict(set)
    splits = {row["title"]: row["split"] for row in rows}
    for row in rows:
        if row.get("stated", row["type"]):
            types[row["title"]].add(row.get("stated", row["type"]))
    right: Counter[str] = Counter()
    wrong = []
    for title, facets in types.items():
        word = lexicon.attributes(title).core_word
        if any(same_type(word, facet) for facet in facets):
            right[splits[title]] += 1
        else:
            wrong.append((title, word, "/".join(sorted(facets))))
    counts = Counter(splits[title] for title in types)
    for split in sorted(counts):
        share = right[split] / counts[split]
        print(f"{split:6} titles {counts[split]:6}  right core word {share:.3f}")
    for title, word, facet in wrong[:20]:
        print(f"       {title!r}: {word}, facet {facet}")


def measure_captions(rows: list[Row], keys: dict[str, str], captions: dict[str, Caption]) -> None:
    """Print shares of right colours and types by split, and precision over the vote's share."""
    for split in sorted({row["split"] for row in rows}):
        chosen = [row for row in rows if row["split"] == split and keys[row["image"]] in captions]
        stated = [json.loads(captions[keys[row["image"]]].raw) for row in chosen]
        texts = [captions[keys[row["image"]]].caption for row in chosen]
        first = [each["colors"][0][0] for each in stated]
        named = [spoken_colors(text) or [color] for text, color in zip(texts, first, strict=True)]
        facets = [row["color"] for row in chosen]
        pairs = list(zip(named, facets, strict=True))
        print(
            f"{split:6} pictures {len(chosen):6}"
            f"  right colour {share(same_color(n[0], f) for n, f in pairs)}"
            f"  named at all {share(any(same_color(w, f) for w in n) for n, f in pairs)}"
            f"  or neighbouring {share(colors_close(n[0], f) for n, f in pairs)}"
            f"  two colours {share(len(n) > 1 for n in named)}"
        )
        with_kind = [each["named"] for each in stated]
        hits = [
            same_type(each.get("type"), row["type"])
            for each, row in zip(stated, chosen, strict=True)
            if each["named"]
        ]
        print(f"       kind named in the caption {share(with_kind)}, of these right {share(hits)}")
        for threshold in THRESHOLDS:
            sure = [e.get("share", -1) >= threshold for e in stated]
            hits = [
                same_type(e.get("type"), row["type"])
                for e, row, s in zip(stated, chosen, sure, strict=True)
                if s
            ]
            print(
                f"       vote >= {threshold:.1f}: type named {share(sure)}, of these right "
                f"{share(hits)}"
            )


def spoken_colors(caption: str) -> list[str]:
    """Return the colour words that open a caption."""
    words = caption.removeprefix("an ").removeprefix("a ").replace("rose gold", "rose_gold").split()
    known = [word.replace("_", " ") for word in words]
    return [word for word in known[: 3 if "and" in known else 1] if color_family(word) is not None]


def share(values: object) -> str:
    """Return the share of true values as text."""
    found = [bool(value) for value in values]  # type: ignore[attr-defined]
    return f"{sum(found) / max(1, len(found)):.3f}"


def main() -> None:
    """Measure one catalogue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=os.environ.get("LUMA_DIR"), type=Path)
    parser.add_argument("--errors", action="store_true", help="print wrong captions of val")
    options = parser.parse_args()
    if options.folder is None:
        parser.error("name a catalogue's folder, or set LUMA_DIR")
    rows = read_catalogue(options.folder)
    lexicon = Lexicon.fit(sorted({row["title"] for row in rows if row["split"] == "train"}))
    print(f"{lexicon.name}: {lexicon.state().decode()[:300]}")
    measure_titles(rows, lexicon)
    files = {row["image"]: options.folder / row["image"] for row in rows}
    keys = {image: file_key(path) for image, path in files.items()}
    titles: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["split"] == "train":
            titles[keys[row["image"]]].append(row["title"])
    pictures = {keys[image]: path for image, path in files.items()}
    started = time.perf_counter()
    captioner = Neighbours.fit({key: pictures[key] for key in titles}, titles, lexicon)
    fitted = time.perf_counter()
    found = dict(captioner.describe(pictures))
    ended = time.perf_counter()
    print(
        f"{captioner.name}: state {len(captioner.state()):,} bytes; fitted {len(titles)} pictures "
        f"in {fitted - started:.1f} s, described {len(found)} in {ended - fitted:.1f} s; "
        f"a kind is named at a precision of {MIN_PRECISION}"
    )
    captions = {key: each for key, each in found.items() if isinstance(each, Caption)}
    measure_captions(rows, keys, captions)
    if options.errors:
        for row in rows:
            caption = captions.get(keys[row["image"]])
            if caption is not None and row["split"] != "test":
                word = json.loads(caption.raw).get("type")
                if not same_type(word, row["type"]) or row["color"] not in caption.caption:
                    print(
                        row["title"], row["color"], row["type"], "|", caption.caption, caption.raw
                    )


if __name__ == "__main__":
    main()
