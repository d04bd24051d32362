"""Score ten products for a query: python examples/score_products.py "red hoodie"."""

import sys

import duckdb

from trainer.serving.relevance_model import RelevanceModel

model = RelevanceModel.from_pretrained("artifacts/model")  # what trainer export wrote
shop = duckdb.connect("artifacts/genfilt.duckdb", read_only=True)
titles, images = zip(
    *shop.sql("SELECT title, image FROM products WHERE image_key IS NOT NULL LIMIT 10").fetchall(),
    strict=True,
)
scores = model.score([sys.argv[1]], titles, images)[0]
for score, title in sorted(zip(scores, titles, strict=True), reverse=True):
    print(f"{score:.3f}  {title}")
