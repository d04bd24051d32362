"""A shop of ninety-six described products and the clicks and labels of its shoppers."""

from __future__ import annotations

from itertools import product as each_of

import numpy as np

from genfilt.features.embed import Embedder
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.filter.filter_inputs import FILTERED
from genfilt.store.store import Store
from tests.described_shop import ask, describe, judge

TYPES = ("hoodie", "mug", "lamp", "tank")
COLORS = ("red", "blue", "green", "black")
MAKERS = ("Acme", "Borel", "Corvo")
SETTINGS = FilterSettings(0.8, rule="calibrated")
CORRECTIONS = """
SELECT query, title, caption, score, reasons FROM query_product_corrections ORDER BY ALL
"""


def shop(rename: str = "", category: str | None = None) -> Store:
    """Ninety-six products whose pictures tell the colour, and what shoppers clicked."""
    store = Store()
    products, truth = [], {}
    for number, (maker, kind, color, copy) in enumerate(each_of(MAKERS, TYPES, COLORS, (1, 2))):
        split = "val" if maker == "Corvo" and copy == 2 else "train"
        name = f"{rename}{(number * 37) % 96 if rename else number:03d}"
        row = (name, f"{maker} {kind} no {copy}", kind, None, f"a {color} {kind}", split)
        products.append(row)
        truth[name] = (maker, kind, color)
    describe(store, products)
    queries = [(f"q-{c}-{t}", f"{c} {t}") for c, t in each_of(COLORS, TYPES)]
    queries += [(f"q-{t}", t) for t in TYPES] + [
        (f"q-{m}-{t}", f"{m} {t}") for m, t in each_of(MAKERS, TYPES)
    ]
    ask(store, queries)
    rng = np.random.default_rng(0)
    clicks, labels = [], []
    for query_id, query in queries:
        words = query.split()
        for number, row in enumerate(products):
            facets = truth[str(row[0])]
            right = all(word in facets for word in words)
            draw = rng.random(2)
            if row[-1] == "train" and right and draw[0] < 0.5:
                clicks.append(
                    {"query_id": query_id, "product_id": row[0], "clicks": 1 + number % 3}
                )
            if row[-1] == "train" and draw[1] < (0.5 if right else 0.04):
                labels.append(
                    {
                        "query_id": query_id,
                        "product_id": row[0],
                        "label": int(right),
                        "split": "train",
                    }
                )
    judge(store, "clicks", clicks)
    judge(store, "labels", labels)
    if category:
        store.connection.execute("UPDATE products SET category = ?", [category])
    return store


def filter_anew(store: Store, embedder: Embedder) -> None:
    """Filter by SETTINGS, whether or not the inputs changed."""
    store.connection.execute("DELETE FROM meta WHERE name = ?", [FILTERED])
    filter_pairs(store, SETTINGS, embedder)
