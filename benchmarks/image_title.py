"""What image-title corrections bring to stage 1 (experiment IT-1).

`python benchmarks/image_title.py --out it1` generates shops with pictures, gives each product a
title that states its facets and a caption that is true, filters, and trains stage 1 without
corrections, with those found, with every right pair (oracle) and with as many wrong ones,
drawn at random (placebo). Every model is measured against the truth: for each picture, the titles
of products with equal facets are relevant, among train products (warm) and among val's (cold).
What is finished is kept. `--only-filter --image-title-sigma 0.9 0.8 0.7` shows what the filter
finds.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from gf1 import make_shop, run, write

from genfilt.common.arrays import Bools, Integers
from genfilt.common.statistics import Roc
from genfilt.store.store import Store
from trainer.ablation.compare import Mean
from trainer.config import FitConfig, preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.encode import encode_numbers
from trainer.evaluation.markdown_table import table
from trainer.training import checkpoint
from trainer.training.fit import fit

ARMS = ("none", "found", "oracle", "placebo")
CUT = 10  # the k of Recall@k
FACETS = ("type", "color_family")  # what both texts tell; equal ones make a right pair
PRODUCTS = """
SELECT p, any_value(products.split) AS split, any_value(f_image) AS i, any_value(f_title) AS t,
       any_value(concat_ws('|', {facets})) AS facets
FROM products JOIN product_no USING (product_id) JOIN features USING (f)
JOIN facets USING (product_id) GROUP BY p ORDER BY p
"""
FOUND = "SELECT DISTINCT f_image, f_title FROM it_corrections ORDER BY ALL"


def facets_of(shop: Path) -> pa.Table:
    """Return the facets of a shop's products by its truth."""
    with duckdb.connect(str(shop / "truth.duckdb"), read_only=True) as truth:
        return truth.sql("SELECT * FROM facets").to_arrow_table()


def title_of(facets: dict[str, str]) -> str:
    """Return a title that states type and colour, for every second product its material too."""
    material = facets["material"] if int(facets["product_id"].lstrip("p")) % 2 else ""
    words = [facets["gender"], facets["color_family"], material, _kind(facets)]
    return " ".join(word for word in words if word).title()


def caption_of(facets: dict[str, str]) -> str:
    """Return a true caption of a picture."""
    pattern = "" if facets["pattern"] == "solid" else facets["pattern"]
    words = ["a", facets["color_family"], pattern, _kind(facets)]
    return " ".join(word for word in words if word)


def _kind(facets: dict[str, str]) -> str:
    return facets["type"].replace("_", " ")


def make_database(shop: Path, sigma: float) -> Path:
    """Return the database of a shop whose titles and captions state facets, filtered at sigma."""
    db = shop / f"stated-{sigma:g}.duckdb"
    if db.exists():
        return db
    rows = facets_of(shop).to_pylist()
    facets = {row["product_id"]: {k: str(v or "") for k, v in row.items()} for row in rows}
    with (shop / "products.csv").open(newline="", encoding="utf-8") as file:
        products = list(csv.DictReader(file))
    named = [{**row, "title": title_of(facets[row["product_id"]])} for row in products]
    captions = [{"product_id": key, "caption": caption_of(found)} for key, found in facets.items()]
    part = db.with_name(f"part-{db.name}")
    part.unlink(missing_ok=True)
    words = ["--products", write(shop / "stated.csv", named), "--queries", shop / "queries.csv"]
    words += ["--captions", write(shop / "captions.csv", captions), "--images", shop]
    run("genfilt", "ingest", *words, "--db", part)
    run("genfilt", "extract", "--db", part)
    options = ["--rule", "paper", "--image-title-sigma", sigma, "--db", part]
    run("genfilt", "filter", *options)
    return part.replace(db)


class Shop:
    """Products of a database with pictures, their texts and facets by the truth."""

    def __init__(self, db: Path) -> None:
        self.db = db
        with open_database(db) as connection:
            connection.register("facets", facets_of(db.parent))
            sql = PRODUCTS.format(facets=", ".join(FACETS))
            rows = connection.sql(sql).to_arrow_table().to_pydict()
            self.found = _pairs(connection.sql(FOUND).fetchall())
        self.product = np.array(rows["p"], dtype=np.int32)
        self.split = np.array(rows["split"])
        self.image, self.title = (np.array(rows[k], dtype=np.int32) for k in ("i", "t"))
        self.facets = np.unique(rows["facets"], return_inverse=True)[1].astype(np.int32)

    def right(self, pairs: Integers) -> Bools:
        """Return whether each (f_image, f_title) (N, 2) is of equal facets, (N,)."""
        image, title = (
            dict(zip(side, self.facets, strict=True)) for side in (self.image, self.title)
        )
        return np.array([image[i] == title[t] for i, t in pairs.tolist()], dtype=np.bool_)

    def pairs(self, arm: str) -> Integers:
        """Return the (f_image, f_title) that an arm takes for corrections, (N, 2)."""
        if arm == "found":
            return self.found
        train = self.split == "train"
        image, title, facets = self.image[train], self.title[train], self.facets[train]
        equal = facets[:, None] == facets[None]
        if arm == "oracle":
            i, t = np.nonzero(equal)
        else:
            i, t = np.nonzero(~equal)
            kept = np.random.default_rng(0).permutation(len(i))[: len(self.found)]
            i, t = i[kept], t[kept]
        return _pairs(np.stack([image[i], title[t]], axis=1).tolist() if arm != "none" else [])

    def false_negatives(self, pairs: Integers, batch: int) -> float:
        """Return the columns of a random batch with a picture's facets that no pair marks."""
        train = self.split == "train"
        image, title, facets = self.image[train], self.title[train], self.facets[train]
        equal = (facets[:, None] == facets[None]) & (title[:, None] != title[None])
        width = int(title.max()) + 1
        codes = image[:, None].astype(np.int64) * width + title[None]
        equal &= ~np.isin(codes, pairs[:, 0].astype(np.int64) * width + pairs[:, 1])
        return float(equal.mean()) * (batch - 1)

    def figures(self, run_folder: Path) -> dict[str, float]:
        """Return AUC and Recall@10 of picture to title, warm and cold."""
        model = checkpoint.load_model(checkpoint.latest_stage(run_folder))
        with open_database(self.db) as connection:
            catalogue = load_catalogue(connection)
        made = {}
        for name, split in (("warm", "train"), ("cold", "val")):
            mine = np.flatnonzero(self.split == split)
            mine = mine[np.unique(self.title[mine], return_index=True)[1]]  # one of each title
            products = np.sort(self.product[mine])
            place = np.searchsorted(self.product, products)
            none = np.empty(0, dtype=np.int32)
            encoded = encode_numbers(model, catalogue, none, products)
            width = encoded.learned
            scores = encoded.image.values[:, :width] @ encoded.title.values[:, :width].T
            facets = self.facets[place]
            equal = facets[:, None] == facets[None]
            off = ~np.eye(len(equal), dtype=np.bool_)
            made[f"{name} auc"] = Roc(scores[off].astype(np.float64), equal[off]).auc()
            scores[~off] = -np.inf
            top = np.argsort(-scores, axis=1)[:, :CUT]
            hits = np.take_along_axis(equal & off, top, axis=1).sum(axis=1)
            relevant = (equal & off).sum(axis=1)
            some = relevant > 0
            made[f"{name} recall"] = float((hits / np.minimum(relevant, CUT).clip(1))[some].mean())
        return made


def _pairs(rows: list[tuple[int, int]] | list[list[int]]) -> Integers:
    return np.array(rows, dtype=np.int32).reshape(-1, 2)


def corrected_by(db: Path, pairs: Integers, copy: Path) -> Path:
    """Return a copy of a database that has these pairs as its image-title corrections."""
    shutil.copy(db, copy)
    with Store(copy) as store:
        store.connection.execute("DELETE FROM it_candidates")
        if len(pairs):
            store.connection.executemany(
                "INSERT INTO it_candidates SELECT filter_id, ?, ?, 1, 1 FROM filters WHERE current",
                pairs.tolist(),
            )
    return copy


def config(given: argparse.Namespace) -> FitConfig:
    """Return how stage 1 is trained in every arm."""
    return replace(
        preset(given.preset, 1),
        epochs=given.epochs,
        batch_size=given.batch_size,
        mixed_precision=given.mixed_precision,
    )


def measure(shop: Shop, arm: str, folder: Path, given: argparse.Namespace) -> dict[str, object]:
    """Train and measure one arm."""
    pairs = shop.pairs(arm)
    copy = corrected_by(shop.db, pairs, shop.db.with_name(f"{arm}.duckdb"))
    fit(config(given), copy, folder, resume=True)
    row: dict[str, object] = {
        "arm": arm,
        "shop": shop.db.parent.name,
        "pairs": len(pairs),
        "right": float(shop.right(pairs).mean()) if len(pairs) else None,
        "false negatives": shop.false_negatives(pairs, given.batch_size),
    }
    return row | dict(shop.figures(folder))


def _options(given: argparse.Namespace) -> str:
    """Return a folder's name for the options that decide a run's figures."""
    found = (given.image_title_sigma[0], given.preset, given.epochs, given.batch_size)
    return "-".join(map(str, (*found, given.mixed_precision)))


def rows_of(given: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the figures of every shop and arm, those of finished runs from their files."""
    for seed in given.shops:
        folder = make_shop(given.out, given.products, seed)
        shop = Shop(make_database(folder, given.image_title_sigma[0]))
        for arm in ARMS:
            run_folder = given.out / "runs" / _options(given) / folder.name / arm
            path = run_folder / "measured.json"
            if not path.exists():
                row = measure(shop, arm, run_folder, given)
                path.write_text(json.dumps(row))
            yield json.loads(path.read_text("utf-8"))


def report(rows: list[dict[str, object]]) -> str:
    """Return a table of the arms' means over shops, each with its difference to none."""
    names = [name for name in rows[0] if name not in ("arm", "shop")]
    lines = []
    for arm in ARMS:
        cells: list[object] = [arm]
        for name in names:
            mine, base = (
                {str(row["shop"]): row[name] for row in rows if row["arm"] == one}
                for one in (arm, "none")
            )
            cells.append(_with_difference(mine, base if " " in name and arm != "none" else {}))
        lines.append(cells)
    return "\n".join(table(["arm", *names], lines))


def _with_difference(mine: dict[str, object], base: dict[str, object]) -> str:
    values = {shop: float(value) for shop, value in mine.items() if isinstance(value, int | float)}
    gap = Mean.of([values[shop] - float(str(base[shop])) for shop in values if shop in base])
    sign = "+" if gap is not None and gap.value >= 0 else ""
    return f"{Mean.of([*values.values()]) or ''}" + (f" ({sign}{gap})" if gap else "")


def found(given: argparse.Namespace) -> None:
    """Print what the filter finds at each sigma."""
    for seed in given.shops:
        folder = make_shop(given.out, given.products, seed)
        for sigma in given.image_title_sigma:
            shop = Shop(make_database(folder, sigma))
            right = shop.right(shop.found)
            print(folder.name, sigma, len(right), "found,", round(float(right.mean()), 3), "right")


def main() -> None:
    """Build what is missing, train and report."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    words.add_argument("--out", type=Path, default=Path("artifacts/it1"))
    words.add_argument("--products", type=int, default=1000)
    words.add_argument("--shops", type=int, nargs="+", default=[41, 42, 43])
    words.add_argument("--image-title-sigma", type=float, nargs="+", default=[0.9])
    words.add_argument("--only-filter", action="store_true")
    words.add_argument("--preset", default="small")
    words.add_argument("--epochs", type=int, default=8)
    words.add_argument("--batch-size", type=int, default=128)
    words.add_argument("--mixed-precision", default="no", choices=["no", "bf16"])
    given = words.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.only_filter:
        found(given)
    else:
        print(report(list(rows_of(given))))


if __name__ == "__main__":
    main()
