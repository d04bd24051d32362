"""What a filter says that found nothing of a kind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from genfilt.features.corpus import load_corpus
from genfilt.features.embed import Embedder
from genfilt.filter.advice import advice, title_advice
from genfilt.filter.filter import filter_pairs
from genfilt.filter.rules import FilterSettings
from genfilt.store.store import Store
from tests.described_shop import described_shop, judge


@pytest.fixture
def store() -> Iterator[Store]:
    with described_shop() as opened:
        yield opened


def test_a_filter_that_corrects_nothing_says_what_to_try(store: Store, embedder: Embedder) -> None:
    for rows in ([{"query_id": "q4", "product_id": "p5"}],):
        judge(store, "clicks", rows)
    made = filter_pairs(store, FilterSettings(0.99), embedder)
    assert made.corrections == 0
    found = advice(store)
    assert found.startswith("No pair reaches sigma 0.99 under the rule paper. Try: a lower --sigma")
    assert "--rule calibrated, which needs 200" in found


def test_a_filter_that_matches_no_picture_says_how_near_titles_come(
    store: Store, embedder: Embedder
) -> None:
    settings = FilterSettings(0.5, image_title_sigma=0.999)
    filter_pairs(store, settings, embedder)
    (found,) = title_advice(store, embedder, 0.999)
    corpus = load_corpus(store, embedder)
    pairs = corpus.features
    own = set(zip(pairs.f_image.tolist(), pairs.f_title.tolist(), strict=True))
    cosines = np.asarray(corpus.i) @ np.asarray(corpus.t).T
    nearest = [
        max(
            float(cosines[row, column])
            for column, title in enumerate(corpus.titles.numbers.tolist())
            if (image, title) not in own
        )
        for row, image in enumerate(corpus.images.numbers.tolist())
    ]
    assert f"in a sample of {len(nearest)} captions" in found
    assert f"{np.median(nearest):.2f} in the middle and {max(nearest):.2f} at most" in found
    assert title_advice(store, embedder, 0.999, title_pairs=1) == []
    store.connection.execute("UPDATE features SET image_text = NULL")
    assert title_advice(store, embedder, 0.999) == []


def test_corrections_of_val_products_alone_change_no_training(
    store: Store, embedder: Embedder
) -> None:
    made = filter_pairs(store, FilterSettings(0.5), embedder)
    assert made.train_corrections
    store.connection.execute("UPDATE products SET split = 'val'")
    rows = store.rows("SELECT split FROM query_product_corrections")
    assert {split for (split,) in rows} == {"val"}
    found = advice(store, len(rows))
    assert found.startswith("No correction is of a train product, so training will not change (")
    assert f"({len(rows)} of val and test products reach sigma 0.5" in found
    assert "Try: a lower --sigma" in found
