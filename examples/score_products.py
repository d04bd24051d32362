"""Score ten products for a query: python examples/score_products.py "red hoodie".

The model is what trainer export wrote; --db or GENFILT_DB names the database of the products.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from genfilt.common.duckdb_file import open_file
from genfilt.common.errors import UserError
from trainer.serving.relevance_model import RelevanceModel

TEN = """
SELECT title, CASE WHEN image_key IS NOT NULL THEN image END FROM products
ORDER BY image_key IS NULL, product_id LIMIT 10
"""


def main() -> None:
    """Print ten products of a database, the best first."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("query")
    words.add_argument("--model", type=Path, default=Path("artifacts/model"))
    default = os.environ.get("GENFILT_DB", "artifacts/genfilt.duckdb")
    words.add_argument("--db", default=default)
    given = words.parse_args()
    try:
        model = RelevanceModel.from_pretrained(given.model)
        with open_file(str(given.db), read_only=True) as shop:
            products = shop.sql(TEN).fetchall()
    except UserError as error:
        sys.exit(str(error))
    titles, images = [title for title, _ in products], [image for _, image in products]
    scores = model.score([given.query], titles, images)[0]
    for score, title in sorted(zip(scores, titles, strict=True), reverse=True):
        print(f"{score:.3f}  {title}")


if __name__ == "__main__":
    main()
