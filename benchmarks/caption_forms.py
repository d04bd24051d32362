"""What a caption's form costs: cosines of queries with perfect captions of relevant products.

    python benchmarks/caption_forms.py

Captions are written from the truth of a generated catalogue, in the forms that prompts ask for, and
compared by the default embedder with the queries to which the product is relevant. Printed are
quartiles and the share of pairs at a cosine of 0.9, the paper's sigma.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import duckdb
import numpy as np

from genfilt.features.embed import Embedder
from genfilt.synth import synthesize

# Queries that name kind and colour: what a picture can show. Words as the truth has them.
PAIRS = """
SELECT DISTINCT query, replace(f.picture_type, '_', ' '), replace(f.picture_color, '_', ' '),
       f.material, f.picture_pattern, f.picture_gender
FROM relevant JOIN needs n USING (query_id) JOIN facets f USING (product_id)
JOIN queries USING (query_id)
WHERE n.color IS NOT NULL AND n.type IS NOT NULL AND NOT f.wrong_picture
ORDER BY ALL
"""
FORMS = {
    "colour, kind": "{color} {kind}",
    "a colour kind": "a {color} {kind}",
    "wearer, colour, kind": "{wearer}{color} {kind}",
    "colour, material, kind": "{color} {material} {kind}",
    "colour, kind, pattern": "{color} {kind}{pattern}",
    "sentence": "The picture shows a {color} {kind} made of {material}{pattern}{audience}.",
}


def captions(rows: list[tuple[str, ...]], form: str) -> list[str]:
    """Return one caption a row."""
    return [
        form.format(
            kind=kind,
            color=color,
            material=material,
            pattern="" if pattern in ("plain", "solid", None) else f" with a {pattern} pattern",
            wearer=f"{gender}'s " if gender in ("men", "women") else "",
            audience=f", for {gender}" if gender else "",
        )
        for _, kind, color, material, pattern, gender in rows
    ]


def main() -> None:
    """Print a line for each form."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    options.add_argument("--products", type=int, default=300)
    given = options.parse_args()
    rows: list[tuple[str, ...]] = []
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            shop = Path(folder) / "shop"
            synthesize(given.products, shop, seed=seed, pictures=False)
            with duckdb.connect(str(shop / "truth.duckdb")) as truth:
                truth.execute(
                    "CREATE TEMP TABLE queries AS FROM read_csv(?, all_varchar = true)",
                    [str(shop / "queries.csv")],
                )
                rows += truth.execute(PAIRS).fetchall()
    embedder = Embedder()
    queries = embedder.encode([row[0] for row in rows])
    print(f"{len(rows)} pairs of a query and a picture, seeds {given.seeds}")
    for name, form in FORMS.items():
        cosines = np.einsum("nd,nd->n", queries, embedder.encode(captions(rows, form)))
        low, middle, high = np.quantile(cosines, (0.25, 0.5, 0.75))
        print(
            f"{name:24} quartiles {low:.3f} {middle:.3f} {high:.3f}"
            f"  at 0.9: {(cosines >= 0.9).mean():.3f}"
        )


if __name__ == "__main__":
    main()
