"""Pictures a second that one reader of `trainer fit` gives, from files and from a pack.

`python benchmarks/trainer_pack.py FOLDER` reads the JPEG and PNG files of a folder, each once to
warm the system's cache, then by the picture sizes of the presets; without FOLDER it draws 400
photo-like JPEGs of 1,000 x 1,000 pixels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
from PIL import Image, ImageFilter

from trainer.batches.pack_writer import open_pack, pack_pictures
from trainer.batches.picture_pack import PictureSource
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.model.vision import ImageTransform

STORE = Path(__file__).resolve().parent.parent / "genfilt" / "store"
SIDES = (128, 224)
SIDE, COUNT = 1000, 400


def draw(folder: Path) -> None:
    """Write photo-like pictures: smooth shapes with some grain."""
    noise = np.random.default_rng(0)
    for number in range(COUNT):
        coarse = noise.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        grain = noise.integers(-9, 10, (SIDE, SIDE, 3))
        pixels = np.clip(np.asarray(picture, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
        smooth = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.7))
        smooth.save(folder / f"{number}.jpg", quality=90)


def database(folder: Path, pictures: list[Path]) -> Path:
    """Write a database of products with these pictures."""
    db = folder / "pictures.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{db}' AS db (STORAGE_VERSION 'v1.4.0')")
        connection.execute("USE db")
        for name in ("schema.sql", "views.sql"):
            connection.execute((STORE / name).read_text("utf-8"))
        connection.execute("INSERT INTO meta VALUES ('schema_version', '2')")
        rows = [(str(n), f"t{n}", str(path), f"i{n}") for n, path in enumerate(pictures)]
        connection.executemany(
            "INSERT INTO products SELECT $1, $2, $3, NULL, 'train', $2, $4", rows
        )
        connection.execute(
            "INSERT INTO product_no SELECT product_id, product_id, NULL FROM products"
        )
    return db


def rate(source: PictureSource, count: int, *seed: int) -> float:
    """Return pictures a second, the better of two passes."""
    took = []
    for _ in range(2):
        began = time.perf_counter()
        for p in range(count):
            source.read(p, *seed)
        took.append(time.perf_counter() - began)
    return count / min(took)


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, nargs="?", help="a folder of pictures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.pictures is None:
            draw(folder)
        shown = given.pictures or folder
        found = sorted(p for p in shown.rglob("*") if p.suffix in (".jpg", ".jpeg", ".png"))
        db = database(folder, found)
        with open_database(db) as connection:
            images = load_catalogue(connection).images
        print(f"{len(found)} pictures, {sum(p.stat().st_size for p in found) / 1e6:.1f} MB")
        print("| side | augmented | files, pictures/s | pack, pictures/s | ratio | pack MB |")
        print("|---:|---|---:|---:|---:|---:|")
        for side in SIDES:
            transform = ImageTransform(side)
            made = pack_pictures(db, transform.square, side, 0)
            pack = open_pack(db, side, images)
            for seed in ((), (7,)):
                files, packed = (
                    rate(PictureSource(images, transform, given), len(found), *seed)
                    for given in (None, pack)
                )
                print(
                    f"| {side} | {'yes' if seed else 'no'} | {files:.0f} | {packed:.0f} | "
                    f"{packed / files:.1f} | {made.megabytes} |"
                )


if __name__ == "__main__":
    main()
