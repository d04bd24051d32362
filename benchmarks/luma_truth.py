"""What is relevant in Luma: a product that has every facet that the query names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

FACETS = ("type", "color", "gender", "material")
Rows = list[dict[str, str]]


def read_rows(path: Path) -> Rows:
    """Return the rows of one of Luma's files."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lacking(queries: Rows, products: Rows) -> npt.NDArray[np.bool_]:
    """Return (Q, P, 4): which facet a query names and a product lacks.

    A product has several materials, and organic cotton is cotton.
    """
    lacks = np.zeros((len(queries), len(products), len(FACETS)), dtype=bool)
    for column, facet in enumerate(FACETS):
        for row, wanted in enumerate(query[facet] for query in queries):
            if facet == "material":
                lacks[row, :, column] = [wanted not in each[facet] for each in products]
            elif wanted:
                lacks[row, :, column] = [wanted != each[facet] for each in products]
    return lacks
