"""The correction table in other libraries' trainers, beside their own ways with false negatives.

`python benchmarks/peers.py --shops-in gf1 --out peers` takes the generated shops of gf1.py, one
click a query, and builds those that are missing. It trains all-MiniLM with sentence-transformers'
trainer and a small CLIP with a loop like open_clip's, once an arm and shop, measures Q->T and Q->I
against each shop's whole truth, and writes report.md. `--db F --truth F` (or `--db F` alone:
labels of val) measures one's own databases. What is finished is kept, run by run.
`--products 200 --shops 11 --epochs 1 --clip-epochs 1` shows in minutes that everything works.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gf1 import make_database, make_shop
from peer_clip import CLIP_ARMS, train_clip
from peer_sentences import SENTENCE_ARMS, Recipe, train_sentences
from peer_shops import Figures, PeerShop

from genfilt.common.atomic import write_text
from trainer.ablation.compare import Mean, paired_mean
from trainer.ablation.effect.predictions import conclusion, signed
from trainer.evaluation.markdown_table import table

LOG = "one-click"
FIGURES = ("warm auc", "warm recall", "cold auc", "cold recall", "labels auc")
ABOVE = (  # what is concluded: the first arm above the second
    ("correct", "mnrl"),
    ("separate", "mnrl"),
    ("separate", "correct"),
    ("separate", "drop"),
    ("separate", "gist"),
    ("correct", "drop"),
    ("correct", "verdicts"),
    ("correct", "gist"),
    ("correct", "gist titles"),
    ("correct", "gist margin"),
    ("correct", "rows"),
    ("drop", "mnrl"),
    ("gist", "mnrl"),
    ("gist", "drop"),
    ("rows", "mnrl"),
    ("clip correct", "clip"),
    ("clip correct", "clip drop"),
    ("clip correct", "clip verdicts"),
    ("clip drop", "clip"),
)


@dataclass(frozen=True)
class Place:
    """A database and the file of its truth, where there is one."""

    db: Path
    truth: Path | None


@dataclass(frozen=True)
class Result:
    """What one arm reached on one shop."""

    shop: str
    arm: str
    recipe: Recipe
    split: str
    database: str
    seconds: float  # of one core
    figures: Figures

    @classmethod
    def read(cls, path: Path) -> Result:
        """Return the result of a file that `write` wrote."""
        values = json.loads(path.read_text("utf-8"))
        return cls(**{**values, "recipe": Recipe(**values["recipe"])})

    def write(self, path: Path) -> None:
        """Keep the result; its file marks the run as finished."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def run(
    place: Place, arms: Sequence[str], recipes: Mapping[str, Recipe], out: Path, split: str
) -> list[Result]:
    """Train and measure the arms that are not finished on a shop, and return all its results."""
    shop: PeerShop | None = None
    results = []
    database = str(place.db.resolve())
    for arm in arms:
        path = out / place.db.stem / f"{arm.replace(' ', '-')}.json"
        if path.exists():
            kept = Result.read(path)
            if (kept.recipe, kept.split, kept.database) != (recipes[arm], split, database):
                raise SystemExit(
                    f"{path} was made with other options or of another database; give those, "
                    "or another --out."
                )
            results.append(kept)
            continue
        shop = shop or PeerShop.read(place.db, place.truth, out / "candidates", split)
        began = time.process_time()
        sentences = arm in SENTENCE_ARMS
        sides = (train_sentences if sentences else train_clip)(shop, arm, recipes[arm])
        figures = shop.figures(sides, "Q->T" if sentences else "Q->I")
        seconds = round(time.process_time() - began, 1)
        one = Result(place.db.stem, arm, recipes[arm], split, database, seconds, figures)
        one.write(path)
        results.append(one)
        print(place.db.stem, arm, seconds, figures, flush=True)
    return results


def gap(results: Iterable[Result], first: str, second: str, figure: str) -> Mean | None:
    """Return the mean over shops of the first arm's figure less the second's."""
    cells: dict[str, dict[str, float | None]] = {}
    for one in results:
        cells.setdefault(one.shop, {})[one.arm] = one.figures.get(figure)
    return paired_mean(cells.values(), first, second)


def report(results: Sequence[Result]) -> str:
    """Return a table a family, and one of what is concluded, as Markdown."""
    lines = [
        "Mean over shops ± half a 95 % t interval; in brackets the difference paired by shop.",
        "",
    ]
    for score, arms, reference in (("Q->T", SENTENCE_ARMS, "mnrl"), ("Q->I", CLIP_ARMS, "clip")):
        found = [one for one in results if one.arm in arms]
        if found:
            lines += _arms(found, arms, reference, score)
    names = [name for name in FIGURES if any(name in one.figures for one in results)]
    rows = []
    for first, second in ABOVE:
        gaps = [gap(results, first, second, name) for name in names]
        cells = [f"{signed(one)}: {conclusion(one)}" if one else None for one in gaps]
        if any(cells):
            rows.append([f"{first} above {second}", *cells])
    return "\n".join([*lines, *table(["", *names], rows)]).rstrip() + "\n"


def _arms(
    results: Sequence[Result], arms: Mapping[str, str], reference: str, score: str
) -> list[str]:
    names = [name for name in FIGURES if any(name in one.figures for one in results)]
    rows: list[list[object]] = []
    for arm, description in arms.items():
        mine = [one for one in results if one.arm == arm]
        if not mine:
            continue
        row: list[object] = [arm, description]
        for name in names:
            difference = None if arm == reference else gap(results, arm, reference, name)
            above = "" if difference is None else f" ({signed(difference)})"
            row.append(f"{Mean.of([one.figures.get(name) for one in mine])}{above}")
        rows.append([*row, f"{sum(one.seconds for one in mine) / len(mine):.0f}"])
    heads = [f"{score} (to {reference})", "", *names, "seconds"]
    return table(heads, rows)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("artifacts/peers"))
    parser.add_argument("--db", type=Path, action="append", help="in place of generated shops")
    parser.add_argument("--truth", type=Path, action="append", help="of each --db, in their order")
    parser.add_argument("--shops-in", type=Path, default=Path("artifacts/gf1"), help="gf1's --out")
    parser.add_argument("--shops", type=int, nargs="+", default=[41, 42, 43, 44, 45])
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--sigma", type=float, default=0.5, help="of the calibrated rule")
    parser.add_argument("--paper-sigma", type=float, default=0.7)
    arms = [*SENTENCE_ARMS, *CLIP_ARMS]
    parser.add_argument("--arm", choices=arms, action="append", help="by default all")
    parser.add_argument("--epochs", type=int, default=4, help="of the sentence encoder")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--clip-epochs", type=int, default=12)
    parser.add_argument("--clip-learning-rate", type=float, default=1e-3)
    parser.add_argument("--margin", type=float, default=0.05, help="of gist margin, relative")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--split", default="val", help="whose products are the cold ones")
    given = parser.parse_args(words)
    if given.truth and len(given.truth) != len(given.db or ()):
        parser.error("give --truth once for each --db, or not at all.")
    return given


def places(given: argparse.Namespace) -> list[Place]:
    """Return the databases, and build those of generated shops that are missing."""
    if given.db:
        truths = given.truth or [None] * len(given.db)
        return [Place(db, truth) for db, truth in zip(given.db, truths, strict=True)]
    given.shops_in.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in given.shops:
        shop = make_shop(given.shops_in, given.products, seed)
        found.append(Place(make_database(shop, LOG, seed, given), shop / "truth.duckdb"))
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Run what is missing, shop by shop, and report."""
    given = options(words)
    shared = Recipe(given.epochs, given.learning_rate, given.batch_size, given.margin, given.seed)
    clip = replace(shared, epochs=given.clip_epochs, learning_rate=given.clip_learning_rate)
    recipes = {arm: clip if arm in CLIP_ARMS else shared for arm in [*SENTENCE_ARMS, *CLIP_ARMS]}
    arms = given.arm or list(recipes)
    results = [
        one for place in places(given) for one in run(place, arms, recipes, given.out, given.split)
    ]
    text = report(results)
    write_text(given.out / "report.md", text)
    print(text)


if __name__ == "__main__":
    main()
