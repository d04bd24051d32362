"""Builds genfilt databases by hand, from the contract's schema alone."""

from __future__ import annotations

import colorsys
from datetime import datetime
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
from PIL import Image, ImageDraw

STORE = Path(__file__).parents[2] / "genfilt" / "store"
COLORS = ("red", "green", "blue", "yellow")
SHAPES = ("ring", "bar", "cross")
FILL = {
    "VARCHAR": "",
    "TINYINT": 0,
    "INTEGER": 0,
    "FLOAT": 0.0,
    "BIGINT": 0,
    "DOUBLE": 0.0,
    "BOOLEAN": False,
    "TIMESTAMP": datetime(2026, 1, 1),
}


class Shop:
    """A database under construction; equal titles and pictures share keys and numbers."""

    def __init__(self, path: Path, version: str = "2") -> None:
        self.path = path
        self.db = duckdb.connect()
        self.db.execute(f"ATTACH '{path}' AS db (STORAGE_VERSION 'v1.4.0')")
        self.db.execute("USE db")
        self.db.execute("BEGIN TRANSACTION")
        for name in ("schema.sql", "views.sql"):
            self.db.execute((STORE / name).read_text("utf-8"))
        self.db.execute("INSERT INTO meta VALUES ('schema_version', ?)", [version])
        self._required: dict[str, dict[str, object]] = {}
        self.insert(
            "filters", filter_id=1, sigma=0.9, image_title_sigma=0.9, floor=0.5, current=True
        )
        self._products: dict[tuple[str, str], int] = {}
        self._features: dict[tuple[str, str | None], int] = {}
        self._queries: dict[str, int] = {}

    def __enter__(self) -> Shop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.db.execute("COMMIT")
        self.db.close()

    def insert(self, table: str, **values: object) -> None:
        """Add a row; columns that the trainer does not read and must not be NULL are filled."""
        if table not in self._required:
            columns = self.db.execute(
                "SELECT column_name, data_type FROM duckdb_columns()"
                " WHERE table_name = ? AND NOT is_nullable AND column_default IS NULL",
                [table],
            ).fetchall()
            self._required[table] = {name: FILL[kind] for name, kind in columns}
        row = self._required[table] | values
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
        self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    def product(
        self,
        product_id: str,
        title: str,
        picture: Path | None = None,
        *,
        split: str = "train",
        texts: tuple[str, str | None] | None = None,
        category: str = "things",
    ) -> int:
        """Add a product and return its number p; `texts` are its (title, picture) feature texts."""
        image_key = None if picture is None else f"i:{picture.name}"
        self.insert(
            "products",
            product_id=product_id,
            title=title,
            image=picture and str(picture),
            category=category,
            split=split,
            title_key=f"t:{title}",
            image_key=image_key,
        )
        p = self._products.setdefault((title, str(image_key)), len(self._products))
        f = None if texts is None else self.feature(*texts)
        self.insert("product_no", product_id=product_id, p=p, f=f)
        return p

    def feature(self, title_text: str, image_text: str | None) -> int:
        """Return the number f of a pair of feature texts."""
        key = (title_text, image_text)
        if key in self._features:
            return self._features[key]
        f = self._features[key] = len(self._features)
        f_title = min(n for (t, _), n in self._features.items() if t == title_text)
        f_image = min(n for (_, i), n in self._features.items() if i == image_text)
        self.insert(
            "features",
            f=f,
            f_title=f_title,
            f_image=None if image_text is None else f_image,
            title_text=title_text,
            image_text=image_text,
        )
        return f

    def query(self, query_id: str, query: str) -> int:
        """Add a query and return its number q."""
        self.insert("queries", query_id=query_id, query=query, query_key=f"q:{query}")
        q = self._queries.setdefault(query, len(self._queries))
        self.insert("query_no", query_id=query_id, q=q)
        return q

    def click(self, query_id: str, product_id: str, split: str = "train") -> None:
        self.insert("clicks", query_id=query_id, product_id=product_id, clicks=1, split=split)

    def label(self, query_id: str, product_id: str, label: int, split: str = "train") -> None:
        self.insert("labels", query_id=query_id, product_id=product_id, label=label, split=split)

    def review(self, query_id: str, product_id: str, verdict: int) -> None:
        self.insert("reviews", query_id=query_id, product_id=product_id, verdict=verdict)

    def correct(self, q: int, f: int, score: float = 0.95, *, vetoed: bool = False) -> None:
        self.insert("qp_candidates", filter_id=1, q=q, f=f, score=score, vetoed=vetoed)

    def match(self, f_image: int, f_title: int, score: float = 0.95) -> None:
        self.insert("it_candidates", filter_id=1, f_image=f_image, f_title=f_title, score=score)


def draw(path: Path, color: str, shape: str, seed: int = 0) -> Path:
    """Draw a coloured shape on white as a JPEG."""
    rng = np.random.default_rng(seed)
    hue = {"red": 0.0, "green": 0.33, "blue": 0.62, "yellow": 0.15}[color]
    fill = tuple(int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.9, 0.85))
    image = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(image)
    x, y = (int(n) for n in rng.integers(-4, 5, size=2))
    if shape == "ring":
        pen.ellipse((12 + x, 12 + y, 52 + x, 52 + y), outline=fill, width=10)
    elif shape == "bar":
        pen.rectangle((10 + x, 26 + y, 54 + x, 38 + y), fill=fill)
    else:
        pen.line((12 + x, 12 + y, 52 + x, 52 + y), fill=fill, width=10)
        pen.line((52 + x, 12 + y, 12 + x, 52 + y), fill=fill, width=10)
    image.save(path, quality=95)
    return path


def toy_shop(folder: Path, copies: int = 2) -> Path:
    """A shop whose titles name the shape, whose pictures show the colour, whose queries want both.

    Every query has clicks and labels on train products, and labels on val products.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Shop(folder / "shop.duckdb") as shop:
        for color in COLORS:
            for shape in SHAPES:
                q = shop.query(f"q-{color}-{shape}", f"{color} {shape}")
                for copy in range(copies + 1):
                    name = f"{color}-{shape}-{copy}"
                    split = "val" if copy == copies else "train"
                    picture = draw(folder / f"{name}.jpg", color, shape, seed=copy)
                    texts = (f"{shape} model {copy}", f"a {color} {shape}")
                    shop.product(name, texts[0], picture, split=split, texts=texts, category=shape)
                shop.click(f"q-{color}-{shape}", f"{color}-{shape}-0")
                shop.correct(q, shop.feature(f"{shape} model 1", f"a {color} {shape}"))
        _label(shop, copies)
    return folder / "shop.duckdb"


def _label(shop: Shop, copies: int) -> None:
    for color in COLORS:
        for shape in SHAPES:
            wrong = COLORS[(COLORS.index(color) + 1) % len(COLORS)]
            for copy in range(1, copies + 1):
                split = "val" if copy == copies else "train"
                shop.label(f"q-{color}-{shape}", f"{color}-{shape}-{copy}", 1, split)
                shop.label(f"q-{color}-{shape}", f"{wrong}-{shape}-{copy}", 0, split)
