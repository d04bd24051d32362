"""Colours that captions name of drawn pictures, by what is left out of the picture.

    python benchmarks/picture_colors.py [--seed 2] [--count 22] [--luma FOLDER]

For each kind of surroundings the share of pictures whose first named colour is the product's. With
--luma (default: LUMA_DIR) the same of a shop's photos, val and train products, with the kind of
garment known and unknown.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from generators import read_catalogue, same_color
from picture_scenes import SCENES, draw_scenes

from genfilt.generators.neighbours.color_names import named_colors, shades
from genfilt.generators.neighbours.neighbours import SIDE, load
from genfilt.generators.neighbours.segmentation import Figure, segment
from genfilt.vocabulary.terms import worn

SETTINGS = {
    "nothing left out": (),
    "border's colours": ("border",),
    "hands": ("hands",),
    "middle weighted": ("middle",),
    "border's colours and hands": ("border", "hands"),
    "all three": ("border", "hands", "middle"),
}
Row = tuple[str, str, Figure, str]  # kind of surroundings, colour, picture, where it is worn


def drawn(count: int, seed: int) -> list[Row]:
    """Return drawn pictures, seen as the captioner sees them."""
    found = []
    for scene in draw_scenes(count, seed):
        picture = scene.picture.copy()
        picture.thumbnail((SIDE, SIDE))
        found.append((scene.kind, scene.color, segment(np.asarray(picture)), "object"))
    return found


def photos(folder: Path) -> list[Row]:
    """Return a shop's photos twice: with the place where the garment is worn and without."""
    found: list[Row] = []
    for row in read_catalogue(folder):
        figure = load(folder / row["image"])
        if row["split"] != "test" and isinstance(figure, Figure):
            found.append(("kind known", row["color"], figure, worn(row["type"]) or "object"))
            found.append(("kind unknown", row["color"], figure, "object"))
    return found


def table(kinds: Iterable[str], rows: list[Row], same: Callable[[str, str], bool]) -> None:
    """Print a row a setting, a column a kind of surroundings."""
    kinds = list(kinds)
    print(f"\n| left out | {' | '.join(kinds)} | together |\n|---|{'---|' * (len(kinds) + 1)}")
    total = Counter(kind for kind, *_ in rows)
    for name, ways in SETTINGS.items():
        right = Counter(
            kind
            for kind, color, figure, place in rows
            if same(named_colors(shades(figure, place, ways))[0], color)
        )
        cells = [f"{right[kind]}/{total[kind]}" for kind in kinds]
        print(f"| {name} | {' | '.join(cells)} | {sum(right.values())}/{len(rows)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2, help="1 was used to choose")
    parser.add_argument("--count", type=int, default=22, help="pictures of each kind")
    parser.add_argument("--luma", type=Path, default=os.environ.get("LUMA_DIR"))
    options = parser.parse_args()
    table(SCENES, drawn(options.count, options.seed), str.__eq__)
    if options.luma:
        table(("kind known", "kind unknown"), photos(Path(options.luma)), same_color)


if __name__ == "__main__":
    main()
